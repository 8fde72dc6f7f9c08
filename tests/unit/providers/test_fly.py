"""The Fly client against a double with the API's published shapes: full regions, limits, silence, rivals, strangers."""

import base64
import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date

import msgspec
import pytest
from tests.unit.providers.fly_double import Fly, serving

from nettrace.errors import ConfigError, Unreachable
from nettrace.outside.providers.apply import Done, apply
from nettrace.outside.providers.fly import FlyMachines
from nettrace.outside.providers.port import NoCapacity, Order, Refused, Secret
from nettrace.outside.providers.rest import Rest
from nettrace.placement.fleet import Machine, plan, wanted
from nettrace.placement.fleet_file import Fleet, read_fleet

TOKEN = "nt_enrol_verysecret"
FILE = """
hub = "https://hub.example.net"
[fly]
app = "nodes"
image = "registry.fly.io/nodes:1"
[[machines]]
provider = "fly"
regions = ["fra", "ams", "cdg"]
[[machines]]
provider = "fly"
regions = ["nrt"]
count = 2
"""


@pytest.fixture
def fly() -> Iterator[Fly]:
    with serving() as double:
        yield double


@pytest.fixture
def waits() -> list[float]:
    return []


def client(fly: Fly, waits: list[float], timeout_s: float = 5.0) -> FlyMachines:
    fleet = read_fleet(FILE)
    assert fleet.fly is not None
    token = Secret("fly-token")
    return FlyMachines(fleet, fleet.fly, token, Rest(fly.url, token, timeout_s=timeout_s, wait=waits.append))


def run(machines: FlyMachines, said: list[str]) -> Done:
    fleet: Fleet = read_fleet(FILE)
    steps = plan(wanted(fleet), machines.machines(), None, date(2026, 11, 20), machines.regions())
    return apply(
        steps,
        {"fly": machines},
        lambda _w, _p: ("--hub", fleet.hub),
        lambda _code: Secret(TOKEN),
        said.append,
    )


def order() -> Order:
    return Order(wanted(read_fleet(FILE))[0], ("--hub", "https://hub.example.net"), Secret(TOKEN))


def test_applied_twice_nothing_is_done_the_second_time(fly: Fly, waits: list[float]) -> None:
    machines, said = client(fly, waits), list[str]()
    assert len(run(machines, said).made) == 3
    before = len([call for call in fly.calls if call[0] == "POST"])
    assert run(machines, said).made == ()
    assert len([call for call in fly.calls if call[0] == "POST"]) == before
    assert sorted(each["name"] for each in fly.machines.values()) == [
        "nettrace-fra",
        "nettrace-nrt-1",
        "nettrace-nrt-2",
    ]


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (
            409,
            "aborted: could not reserve resource for machine: insufficient memory available to fulfill request",
        ),
        (412, "insufficient resources to create new machine with existing volume"),
        (
            422,
            "insufficient resources available to fulfill request: could not find capacity for your machine",
        ),
        (403, 'organization "x" is using 1970176 MB of memory in fra which is over the allowed quota'),
        (400, "no capacity"),
    ],
)
def test_a_full_region_hands_over_to_the_next(fly: Fly, waits: list[float], status: int, words: str) -> None:
    fly.full = {"fra": (status, words)}
    said: list[str] = []
    done = run(client(fly, waits), said)
    assert [each.place for each in done.made] == ["ams", "nrt", "nrt"]
    assert any("no room in fra" in line for line in said)


def test_when_all_are_full_the_others_are_made_and_the_next_apply_goes_on(
    fly: Fly, waits: list[float]
) -> None:
    fly.full = dict.fromkeys(("fra", "ams", "cdg"), (412, "insufficient resources"))
    done = run(client(fly, waits), [])
    assert ([each.place for each in done.made], [name for name, _ in done.failed]) == (
        ["nrt", "nrt"],
        ["nettrace-fra"],
    )
    fly.full = {}
    assert [each.name for each in run(client(fly, waits), []).made] == ["nettrace-fra"]


def test_a_rate_limit_is_waited_out_as_long_as_it_says(fly: Fly, waits: list[float]) -> None:
    left = [2]

    def fault(method: str, path: str) -> object:
        if method == "POST" and path.endswith("/machines") and left[0]:
            left[0] -= 1
            return 429, {"error": "rate limit exceeded"}, {"Retry-After": "7"}
        return None

    fly.fault = fault
    assert len(run(client(fly, waits), []).made) == 3
    assert waits == [7.0, 7.0]


def test_a_create_without_an_answer_is_looked_for_not_done_again(fly: Fly, waits: list[float]) -> None:
    """The connection breaks after Fly made the machine."""
    fly.fault = lambda method, path: "drop" if method == "POST" and path.endswith("/machines") else None
    assert len(run(client(fly, waits), []).made) == 3
    assert len(fly.machines) == 3
    assert len([call for call in fly.calls if call[:2] == ("POST", "/apps/nodes/machines")]) == 3


def test_an_answer_that_comes_too_late_is_looked_for_too(fly: Fly, waits: list[float]) -> None:
    fly.fault = lambda method, path: "late" if method == "POST" and path.endswith("/machines") else None
    made = client(fly, waits, timeout_s=1.0).create(order(), "fra")
    assert (made.name, len(fly.machines)) == ("nettrace-fra", 1)


def test_a_service_that_is_down_is_tried_five_times_and_named(fly: Fly, waits: list[float]) -> None:
    fly.fault = lambda _method, _path: (503, {"error": "upstream"}, {})
    with pytest.raises(Unreachable, match=r"127\.0\.0\.1 does not do GET"):
        client(fly, waits).machines()
    assert waits == [0.5, 1.0, 2.0, 4.0]


def test_two_applies_at_once_make_each_machine_once(fly: Fly, waits: list[float]) -> None:
    with ThreadPoolExecutor(2) as pool:
        both = list(pool.map(lambda _: run(client(fly, waits), []), range(2)))
    assert len(fly.machines) == 3
    assert all(done.failed == () for done in both)


def test_machines_of_others_are_not_seen_not_adopted_not_destroyed(fly: Fly, waits: list[float]) -> None:
    stranger = fly.foreign("nettrace-fra", {"nettrace_fleet": "another"})
    machines = client(fly, waits)
    assert machines.machines() == []
    with pytest.raises(Refused, match="not this fleet's"):
        machines.create(order(), "fra")
    with pytest.raises(Refused, match="left alone"):
        machines.destroy(Machine("fly", stranger, "nettrace-fra", "fra", "started"))
    assert list(fly.machines) == [stranger]
    assert not [call for call in fly.calls if call[0] == "DELETE" or call[1].endswith("/stop")]


def test_destroyed_twice_is_destroyed_and_its_secret_goes_too(fly: Fly, waits: list[float]) -> None:
    machines = client(fly, waits)
    made = machines.create(order(), "fra")
    assert fly.secrets
    machines.destroy(made)
    machines.destroy(made)
    assert (fly.machines, fly.secrets) == ({}, {})


def test_the_enrolment_token_travels_as_a_secret_only(
    fly: Fly, waits: list[float], caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    said: list[str] = []
    run(client(fly, waits), said)
    with_it = [
        path
        for _, path, body in fly.calls
        if TOKEN in repr(body) or base64.b64encode(TOKEN.encode()).decode() in repr(body)
    ]
    assert with_it
    assert all("/secrets/" in path for path in with_it)
    config = next(iter(fly.machines.values()))["config"]
    assert config["files"][0]["secret_name"] in fly.secrets
    assert config["init"]["exec"][:2] == ["nettrace", "node"]
    shown = "".join(said) + caplog.text + "".join(capsys.readouterr()) + repr(order())
    assert TOKEN not in shown
    assert "fly-token" not in shown


def test_a_refused_secret_does_not_echo_it(fly: Fly, waits: list[float]) -> None:
    fly.fault = lambda _m, path: (422, {"error": f"bad value {TOKEN}"}, {}) if "/secrets/" in path else None
    with pytest.raises(Refused) as refused:
        client(fly, waits).create(order(), "fra")
    assert TOKEN not in str(refused.value)


def test_an_answer_of_another_shape_is_said_so(fly: Fly, waits: list[float]) -> None:
    fly.fault = lambda _m, path: (200, {"machines": []}, {}) if path.endswith("/machines") else None
    with pytest.raises(Refused, match="shape that is not known"):
        client(fly, waits).machines()


def test_regions_that_fly_gives_up_are_not_offered(fly: Fly, waits: list[float]) -> None:
    assert client(fly, waits).regions() == {"ams", "cdg", "fra", "nrt"}


def test_a_full_host_at_start_is_said_so(fly: Fly, waits: list[float]) -> None:
    machines = client(fly, waits)
    made = machines.create(order(), "fra")
    fly.fault = lambda _m, path: (
        (412, {"error": "insufficient memory"}, {}) if path.endswith("/start") else None
    )
    with pytest.raises(NoCapacity):
        machines.start(made)


def test_the_token_never_goes_out_in_the_clear() -> None:
    with pytest.raises(ConfigError, match="in the clear"):
        Rest("http://api.machines.dev/v1", Secret("x"))


def replacing(fly: Fly, waits: list[float]) -> tuple[FlyMachines, Machine, Order]:
    machines = client(fly, waits)
    made = machines.create(order(), "fra")
    new = msgspec.structs.replace(order().wanted, image="registry.fly.io/nodes:2")
    return machines, made, msgspec.structs.replace(order(), wanted=new, token=Secret("nt_enrol_second"))


def test_a_machine_gets_another_image_and_keeps_everything_else(fly: Fly, waits: list[float]) -> None:
    machines, made, new = replacing(fly, waits)
    before = fly.machines[made.id]["config"]
    machines.replace(made, new)
    machines.replace(made, new)  # once more, after an interruption
    config = fly.machines[made.id]["config"]
    assert config["image"] == "registry.fly.io/nodes:2"
    assert {name: config[name] for name in before if name not in {"image", "metadata"}} == {
        name: before[name] for name in before if name not in {"image", "metadata"}
    }
    (secret,) = fly.secrets.values()
    assert base64.b64decode(secret) == b"nt_enrol_second", "a disk that is lost can enrol again"
    machines.settle(made)
    machines.settle(made)
    assert config["metadata"] == before["metadata"]
    assert [each.image for each in machines.machines()] == ["registry.fly.io/nodes:2"]


def test_a_machine_gets_back_the_image_it_had(fly: Fly, waits: list[float]) -> None:
    machines, made, new = replacing(fly, waits)
    machines.replace(made, new)
    machines.replace(made, new)
    machines.restore(made)
    assert fly.machines[made.id]["config"]["image"] == "registry.fly.io/nodes:1"
    assert "nettrace_image_before" not in fly.machines[made.id]["config"]["metadata"]
    machines.restore(made)  # nothing is kept: it runs what it has


def test_a_full_host_and_a_stranger_are_not_replaced(fly: Fly, waits: list[float]) -> None:
    machines, made, new = replacing(fly, waits)
    fly.full = {"fra": (412, "insufficient resources available to fulfill request")}
    with pytest.raises(NoCapacity, match="cannot replace nettrace-fra"):
        machines.replace(made, new)
    assert fly.machines[made.id]["config"]["image"] == "registry.fly.io/nodes:1"
    stranger = Machine("fly", fly.foreign("x"), "x", "fra", "started")
    for do in (lambda: machines.replace(stranger, new), lambda: machines.restore(stranger)):
        with pytest.raises(Refused, match="left alone"):
            do()
