"""A rolling upgrade against doubles and real processes: each well before the next, put back when not, resumed."""

from collections.abc import Callable, Sequence

import msgspec
import pytest

from nettrace.errors import Unreachable
from nettrace.outside.providers.port import Order, Secret
from nettrace.outside.providers.upgrade import Outcome, Rolling
from nettrace.placement.fleet import Machine, Wanted
from nettrace.placement.fleet_upgrade import Due, Seen, Upgrade, upgrade

CODES = ("fra", "nrt", "sin")
WANTED = tuple(Wanted(f"nt-{code}", code, "double", (code,), "") for code in CODES)
MACHINES = tuple(Machine("double", f"id-{code}", f"nt-{code}", code, "started") for code in CODES)


class Killed(BaseException):
    """The command's own process goes away."""


class World:
    """Hub, nodes and provider in virtual time: a node reports every second and has five entries to hand over."""

    def __init__(self) -> None:
        self.at = 0
        self.did: list[str] = []
        self.journal: dict[str, Seen] = {}
        self.runs = dict.fromkeys(CODES, "1")
        self.before: dict[str, str] = {}
        self.offered = "2"
        self.bad: Callable[[str, Seen], Seen] = lambda _code, seen: seen
        self.interrupt = ""
        self.ended: set[str] = set()
        self.nodes = {
            code: Seen(node=f"node-{code}", version="1", heard_at=0, measured=1, methods=frozenset({"icmp"}))
            for code in CODES
        }

    # -- time
    def now(self) -> int:
        return self.at

    def wait(self, seconds: float) -> None:
        self.at += round(seconds * 1e9)
        for code, seen in self.nodes.items():
            fresh = msgspec.structs.replace(
                seen, version=self.runs[code], heard_at=self.at, backlog=max(0, seen.backlog - 1),
                resting=not seen.active, measured=seen.measured + seen.active, methods=frozenset({"icmp"}), flagged=False,
            )  # fmt: skip
            self.nodes[code] = fresh if self.runs[code] == "1" else self.bad(code, fresh)

    # -- the hub
    def seen(self, code: str) -> Seen | None:
        return self.nodes[code]

    def _act(self, what: str) -> None:
        self.did.append(what)
        if what == self.interrupt:
            self.interrupt = ""
            raise Killed

    def rest(self, node: str) -> None:
        code = node.removeprefix("node-")
        self.nodes[code] = msgspec.structs.replace(self.nodes[code], active=False, backlog=5)
        self._act(f"drain {code}")

    def work(self, node: str) -> None:
        code = node.removeprefix("node-")
        self.nodes[code] = msgspec.structs.replace(self.nodes[code], active=True)
        self._act(f"wake {code}")

    def begin(self, code: str, before: Seen) -> None:
        self.journal.setdefault(code, before)

    def end(self, code: str) -> None:
        self.journal.pop(code)
        self._act(f"end {code}")

    # -- the provider
    def machines(self, places: Sequence[str]) -> list[Machine]:
        return [
            msgspec.structs.replace(
                each, state="stopped" if self.runs[each.place] in self.ended else "started"
            )
            for each in MACHINES
        ]

    def logs(self, machine: Machine, lines: int) -> list[str]:
        return ["a library is missing"]

    def version(self, place: str) -> str | None:
        return self.offered

    def replace(self, machine: Machine, order: Order) -> None:
        assert self.nodes[machine.place].backlog == 0, "it had handed over everything"
        self.before.setdefault(machine.place, self.runs[machine.place])
        self.runs[machine.place] = "2"
        self._act(f"replace {machine.place}")

    def restore(self, machine: Machine) -> None:
        self.runs[machine.place] = self.before.pop(machine.place, self.runs[machine.place])
        self._act(f"restore {machine.place}")

    def settle(self, machine: Machine) -> None:
        self.before.pop(machine.place)
        self._act(f"settle {machine.place}")

    # -- the test
    def plan(self) -> Upgrade:
        return upgrade(WANTED, MACHINES, self.nodes, "2", self.journal)

    def run(self, at_once: int = 1) -> Outcome:
        def order(due: Due) -> Order:
            return Order(due.wanted, (), Secret("t"))

        rolling = Rolling(
            {"double": self},  # type: ignore[dict-item]
            self, order, to="2", patience_s=60.0, clock=self, say=lambda _line: None,
        )  # fmt: skip
        return rolling.upgrade(self.plan(), at_once)


def test_each_is_drained_replaced_and_well_before_the_next_and_twice_is_once() -> None:
    world = World()
    assert world.run() == Outcome(("nt-fra", "nt-nrt", "nt-sin"), (), ())
    steps = ("drain", "replace", "wake", "settle", "end")
    assert world.did == [f"{step} {code}" for code in CODES for step in steps]
    assert world.plan().due == ()
    assert {seen.active for seen in world.nodes.values()} == {True}


def test_two_at_once_are_never_three() -> None:
    world = World()
    world.run(at_once=2)
    assert world.did[:4] == ["drain fra", "drain nrt", "replace fra", "wake fra"]
    assert world.did.index("end nrt") < world.did.index("drain sin")


@pytest.mark.parametrize(
    ("ill", "reason"),
    [
        ({"version": "1.5"}, "reports version 1.5"),
        ({"flagged": True}, "light contradicts"),
        ({"methods": frozenset()}, "does not permit icmp"),
        ({"measured": 1}, "measured nothing"),
        ({"heard_at": 1}, "has not reported"),
    ],
)
def test_one_that_is_not_well_is_put_back_and_the_rest_is_left_alone(
    ill: dict[str, object], reason: str
) -> None:
    world = World()
    world.bad = lambda code, seen: msgspec.structs.replace(seen, **ill) if code == "nrt" else seen
    outcome = world.run()
    assert (outcome.done, outcome.left) == (("nt-fra",), ("nt-sin",))
    ((name, said),) = outcome.failed
    assert name == "nt-nrt"
    assert reason in said
    assert world.runs == {"fra": "2", "nrt": "1", "sin": "1"}
    assert world.nodes["nrt"].active
    assert world.journal == {}


def test_one_that_ends_is_not_waited_for_and_its_last_word_is_told() -> None:
    world = World()
    world.bad = lambda _code, seen: msgspec.structs.replace(seen, heard_at=1)
    world.ended = {"2"}
    assert "nt-fra has ended: a library is missing" in world.run().failed[0][1]
    assert world.at < 30e9
    assert world.runs["fra"] == "1"


def test_nothing_is_touched_where_another_version_would_start() -> None:
    world = World()
    world.offered = "1"
    outcome = world.run()
    assert "would start version 1, not 2" in outcome.failed[0][1]
    assert (world.did, len(outcome.left)) == ([], 2)


@pytest.mark.parametrize("moment", ["drain nrt", "replace nrt", "wake nrt", "settle nrt"])
def test_an_upgrade_that_was_killed_goes_on_at_the_same_machine(moment: str) -> None:
    world = World()
    world.interrupt = moment
    with pytest.raises(Killed):
        world.run()
    world.wait(1)
    again = world.plan()
    assert [each.wanted.code for each in again.due] == ["nrt", "sin"]
    assert again.due[0].resumed
    if moment == "settle nrt":
        world.before["nrt"] = "1"
    assert world.run().done == ("nt-nrt", "nt-sin")
    assert {seen.active for seen in world.nodes.values()} == {True}, "what the upgrade drained, it wakes"
    assert world.journal == {}


def test_what_an_operator_drained_stays_drained() -> None:
    world = World()
    world.nodes["nrt"] = msgspec.structs.replace(world.nodes["nrt"], active=False)
    assert len(world.run().done) == 3
    assert not world.nodes["nrt"].active


def test_a_provider_that_fails_while_replacing_is_put_back_too() -> None:
    world = World()

    def broken(machine: Machine, order: Order) -> None:
        raise Unreachable("the provider does not answer", "Wait")

    world.replace = broken  # type: ignore[method-assign]
    outcome = world.run()
    assert outcome.failed[0][0] == "nt-fra"
    assert world.nodes["fra"].active


def test_the_silent_the_missing_and_the_stopped_are_left_alone_with_a_word() -> None:
    world = World()
    world.nodes["fra"] = msgspec.structs.replace(world.nodes["fra"], silent=True)
    stopped = msgspec.structs.replace(MACHINES[1], state="stopped")
    plan = upgrade(WANTED, (MACHINES[0], stopped), world.nodes, "2")
    assert plan.due == ()
    assert [note.partition(":")[0] for note in plan.notes] == [
        "nt-fra is not heard of; left alone",
        "nt-nrt is stopped",
        "nt-sin is not there",
    ]


def test_another_image_is_a_reason_too_and_names_another_token() -> None:
    wanted = msgspec.structs.replace(WANTED[0], image="nodes:2")
    machine = msgspec.structs.replace(MACHINES[0], image="nodes:1")
    nodes = {"fra": Seen(node="n", version="2", heard_at=1)}
    plan = upgrade([wanted], [machine], nodes, "2")
    assert plan.due[0].why == "image nodes:1 to nodes:2"
    assert plan.confirm != upgrade([wanted], [machine], nodes, "3").confirm
