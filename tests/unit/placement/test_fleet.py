"""From fleet.toml to steps: what is wanted, what is there, what it costs, and which token allows it."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nettrace.errors import ConfigError, Conflict
from nettrace.placement.fleet import Machine, doomed, plan, wanted
from nettrace.placement.fleet_file import Prices, read_fleet, read_prices

TODAY = date(2026, 11, 20)
FILE = """
hub = "https://hub.example.net"
[fly]
app = "nodes"
image = "registry.fly.io/nodes:1"
[[machines]]
provider = "fly"
regions = ["fra", "ams"]
[[machines]]
provider = "fly"
regions = ["nrt"]
count = 2
[[machines]]
provider = "ssh"
name = "attic"
hosts = ["root@203.0.113.5"]
monthly_usd = 5.0
[[machines]]
provider = "local"
"""
PRICES = Prices(
    "https://prices.example", date(2026, 11, 1), {"fly": {"shared-cpu-1x:256": {"fra": 2.5, "*": 3.0}}}
)
WANTED = wanted(read_fleet(FILE))


def machine(name: str, state: str = "started", place: str = "fra", provider: str = "fly") -> Machine:
    return Machine(provider, f"id-{name}", name, place, state)


def test_a_file_names_every_machine_and_its_vantage() -> None:
    assert [(each.code, each.provider, each.places) for each in WANTED] == [
        ("fra", "fly", ("fra", "ams")),
        ("nrt-1", "fly", ("nrt",)),
        ("nrt-2", "fly", ("nrt",)),
        ("attic", "ssh", ("root@203.0.113.5",)),
        ("here", "local", ("here",)),
    ]


def test_an_empty_fleet_costs_what_all_its_steps_cost() -> None:
    made = plan(WANTED, (), PRICES, TODAY)
    assert [(step.kind, step.wanted.code, step.usd) for step in made.steps] == [
        ("create", "fra", 2.5), ("create", "nrt-1", 3.0), ("create", "nrt-2", 3.0), ("create", "attic", 5.0),
        ("create", "here", 0.0),
    ]  # fmt: skip
    assert (made.usd, made.unknown) == (13.5, 0)


def test_without_a_price_the_cost_is_unknown_never_nothing() -> None:
    made = plan(WANTED, (), None, TODAY)
    assert (made.usd, made.unknown) == (5.0, 3)


def test_what_stands_still_is_started_what_was_interrupted_is_made_again() -> None:
    there = [machine("nettrace-fra", "stopped"), machine("nettrace-here", "unfinished", "here", "local")]
    steps = {step.wanted.code: step.kind for step in plan(WANTED, there, PRICES, TODAY).steps}
    assert steps == {
        "fra": "start",
        "nrt-1": "create",
        "nrt-2": "create",
        "attic": "create",
        "here": "create",
    }


def test_nobody_wanted_is_told_of_and_left_to_destroy() -> None:
    made = plan(WANTED, [machine("nettrace-old"), machine("nettrace-gone", "destroyed")], PRICES, TODAY)
    assert [each.name for each in made.surplus] == ["nettrace-old"]
    assert all(step.kind in {"create", "start"} for step in made.steps)


def test_regions_that_are_not_there_are_left_out_with_a_word() -> None:
    made = plan(WANTED, (), PRICES, TODAY, frozenset({"ams"}))
    (fra,) = [step for step in made.steps if step.wanted.provider == "fly"]
    assert fra.wanted.places == ("ams",)
    assert fra.usd == 3.0, "the price of where it will stand"
    assert any("nettrace-nrt-1: none of its regions" in note for note in made.notes)


def test_old_prices_and_differences_are_said() -> None:
    old = Machine(
        "fly", "1", "nettrace-fra", "fra", "started", "shared-cpu-1x:512", "registry.fly.io/nodes:0"
    )
    notes = plan(WANTED, [old], PRICES, date(2027, 6, 1)).notes
    assert [word for word in ("has size", "has image", "prices are of 2026-11-01") if any(word in n for n in notes)] == [
        "has size", "has image", "prices are of 2026-11-01",
    ]  # fmt: skip


@given(st.lists(st.sampled_from(["started", "stopped", "unfinished", "absent"]), min_size=5, max_size=5))
def test_wherever_it_stopped_the_next_plan_ends_at_the_same_fleet(states: list[str]) -> None:
    there = [
        Machine(each.provider, each.name, each.name, each.places[0], state)
        for each, state in zip(WANTED, states, strict=True)
        if state != "absent"
    ]
    first = plan(WANTED, there, PRICES, TODAY)
    assert len(first.steps) + len(first.kept) == len(WANTED)
    after = [
        *first.kept,
        *(Machine(s.wanted.provider, "x", s.wanted.name, s.wanted.places[0], "started") for s in first.steps),
    ]
    done = plan(WANTED, after, PRICES, TODAY)
    assert (done.steps, done.surplus, done.usd) == ((), (), first.usd)


def test_the_token_is_of_exactly_these_machines() -> None:
    two = [machine("a"), machine("b")]
    assert doomed(two, ())[1] == doomed(two[::-1], ())[1]
    assert doomed(two, ())[1] != doomed(two, ("a",))[1]
    dearer = Prices("x", TODAY, {"fly": {"shared-cpu-1x:256": {"*": 9.0}}})
    assert plan(WANTED, (), PRICES, TODAY).confirm != plan(WANTED, (), dearer, TODAY).confirm


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("hub = 1", "Expected `str`"),
        ('hub = "h"\nmachines = [{provider = "aws"}]', "aws"),
        ('hub = "h"\nmachines = [{provider = "local", colour = "red"}]', "colour"),
        ('hub = "h"\nmachines = [{provider = "fly"}]', "app and the image"),
        ('hub = "h"\nmachines = [{provider = "ssh"}]', "ssh needs them"),
        ('hub = "h"\nmachines = [{provider = "ssh", hosts = ["-oProxyCommand=evil"]}]', "dash"),
        ('hub = "h"\nmachines = [{provider = "local", name = "Not A Name"}]', "vantage"),
        ("[", "cannot be read"),
    ],
)
def test_a_wrong_file_says_what_is_wrong(text: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        read_fleet(text)


def test_two_machines_cannot_be_one_vantage() -> None:
    with pytest.raises(Conflict, match="here"):
        wanted(read_fleet('hub = "h"\nmachines = [{provider = "local"}, {provider = "local"}]'))


def test_a_price_sheet_says_who_and_when() -> None:
    with pytest.raises(ConfigError, match="fetched"):
        read_prices('source = "x"\n[usd_month]')
