"""The soak's judge: what it takes for explained, and that it does not overlook a lost, doubled or invented round."""

import argparse
from types import SimpleNamespace

import msgspec
from bench.soak import is_sound
from bench.soak_count import Remains, find_holes
from bench.soak_gate import Ledger

from nettrace.model.instant import NS_PER_S
from nettrace.model.measurement import Method, Outcome, Ping
from nettrace.model.target import RoundMethod
from nettrace.wire.frames import Ack, Gap, Record, Report

S = NS_PER_S
ALL = ("nyc", "")
EVERY = {"icmp": 10 * S, "stamp": 10 * S}
CLEAN = Remains(9, 9, 0, 0, 0, 0, [], 0, 0.0, [])


def rounds(*seconds: int, target: str = "t", method: str = "icmp") -> list[tuple[str, str, str, str, int]]:
    return [("nyc", target, "e", method, second * S) for second in seconds]


def test_one_missing_round_that_nobody_states_is_found() -> None:
    assert find_holes(rounds(0, 10, 20, 40, 50), {}, EVERY, {}) == (
        1, ["nyc t e icmp: 20.0 s without a round, 1 of 1 moments unexplained"],
    )  # fmt: skip


def test_a_gap_explains_the_rounds_it_touches_and_nothing_else() -> None:
    just = rounds(0, 20)  # the round of 10 s lasts until 15
    assert find_holes(just, {ALL: [(14 * S, 19 * S)]}, EVERY, {}) == (1, [])
    assert find_holes(just, {ALL: [(1 * S, 10 * S)]}, EVERY, {}) == (1, [])
    assert find_holes(just, {ALL: [(16 * S, 30 * S)]}, EVERY, {})[1], "it was over by then"
    assert find_holes(just, {ALL: [(1 * S, 9 * S)]}, EVERY, {})[1], "it had not begun"
    assert find_holes(rounds(0, 10, 60), {ALL: [(20 * S, 50 * S)]}, EVERY, {}) == (1, [])
    assert find_holes(rounds(0, 10, 60), {ALL: [(11 * S, 30 * S)]}, EVERY, {})[1]
    assert find_holes(rounds(0, 10, 60), {("sin", ""): [(20 * S, 50 * S)]}, EVERY, {})[1]


def test_a_round_that_nobody_answers_lasts_longer_than_half_a_short_interval() -> None:
    """Its node was killed 1.9 s after it was due, and it still waited for its peer: nothing else can have become of it."""
    mesh, short = rounds(0, 6, target="sin.mesh", method="stamp"), {"stamp": 3 * S}
    killed = {ALL: [(3 * S + 19 * S // 10, 5 * S)]}
    assert find_holes(mesh, killed, short, {"stamp": 42 * S // 10}) == (1, [])
    assert find_holes(mesh, killed, short, {"icmp": 42 * S // 10})[1]
    later = {ALL: [(3 * S + 44 * S // 10, 9 * S)]}
    assert find_holes(mesh, later, short, {"stamp": 42 * S // 10})[1], "it was over by then"


def test_a_gap_of_one_target_explains_no_other() -> None:
    mesh = rounds(0, 60, target="sin.mesh", method="stamp")
    assert find_holes(mesh, {("nyc", "sin.mesh"): [(5 * S, 55 * S)]}, EVERY, {}) == (1, [])
    assert find_holes(mesh, {("nyc", "fra.mesh"): [(5 * S, 55 * S)]}, EVERY, {})[1]
    assert find_holes(mesh, {("sin", ""): [(5 * S, 55 * S)]}, EVERY, {})[1], (
        "who measures says why it did not"
    )


def report(*dues: int, first: int = 1) -> Report:
    entries = tuple(
        Record(
            seq=first + place, target="t", endpoint="e", method=RoundMethod.ICMP, due=due * S,
            measurement=Ping(target="t", at=due * S, outcome=Outcome.FAILED, method=Method.ICMP, address=None),
        )
        for place, due in enumerate(dues)
    )  # fmt: skip
    return Report(node="n", epoch="x", first_seq=first, entries=entries, sent_at=0)


def test_only_what_the_hub_answered_for_counts_as_acknowledged() -> None:
    ledger = Ledger()
    ledger.note_sent("nyc", report(10, 20, 30))
    ledger.note_acknowledged(report(10, 20, 30), Ack(upto_seq=2, received_at=0, answered_at=0))
    assert ledger.safe() == rounds(10, 20)
    ledger.note_sent("nyc", msgspec.structs.replace(report(99, first=2)))  # the same number, another round
    assert ledger.changed == 1
    ledger.note_acknowledged(report(10), Ack(upto_seq=1, received_at=0, answered_at=0))
    assert ledger.went_back == 1
    gap = Gap(seq=4, last_seq=9, reason="stopped", since=0, until=S)
    ledger.note_sent("nyc", Report(node="n", epoch="x", first_seq=4, entries=(gap,), sent_at=0))
    assert ledger.gaps["n", "x", 4] == gap


def soak(**statuses: int) -> object:
    gate = SimpleNamespace(ledger=Ledger())
    return SimpleNamespace(
        gate=gate,
        statuses={name.replace("_", " "): n for name, n in statuses.items()},
        given=argparse.Namespace(),
    )


def test_anything_wrong_makes_it_unsound() -> None:
    assert is_sound(soak(**{"wrong key: 401": 3, "replayed: 200": 1}), CLEAN)
    assert not is_sound(soak(**{"revoked: 200": 1}), CLEAN)
    for wrong in (Remains(9, 8, 1, 0, 0, 0, [], 0, 0.0, []), Remains(9, 9, 0, 1, 0, 0, [], 0, 0.0, []),
                  Remains(9, 10, 0, 0, 1, 0, [], 0, 0.0, []), Remains(9, 9, 0, 0, 0, 1, ["x"], 0, 0.0, []),
                  Remains(0, 0, 0, 0, 0, 0, [], 0, 0.0, []), Remains(9, 9, 0, 0, 0, 0, [], 0, 0.0, ["damaged"])):  # fmt: skip
        assert not is_sound(soak(), wrong)
