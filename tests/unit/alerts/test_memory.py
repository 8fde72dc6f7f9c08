"""The evaluator's memory is written in parts: one a series, and only those that changed."""

import msgspec
from tests.unit.alerts.test_evaluator import PRESETS, book, on, preset
from tests.unit.alerts.world import HOUR, MINUTE, START, Happening, World, failed

from nettrace.analysis.alerts.evaluator import Evaluator
from nettrace.analysis.alerts.state import State

RULES = book(*(preset(name) for name in PRESETS))
WORLD = World(script=[Happening(START + 2 * HOUR, START + 9 * HOUR, failed, on("api3.example"))])


def decoded(evaluator: Evaluator) -> State:
    return msgspec.msgpack.decode(evaluator.snapshot(), type=State)


def test_parts_written_now_and_then_are_the_whole_memory() -> None:
    evaluator, stored = Evaluator(RULES), dict[str, bytes]()
    for turn, (now, facts) in enumerate(WORLD.minutes(START, START + 3 * HOUR)):
        evaluator.feed(now, facts)
        if turn % 7 == 0:
            stored |= evaluator.parts()
    stored |= evaluator.parts()
    assert decoded(Evaluator.resume(RULES, stored)) == decoded(evaluator)
    assert not decoded(Evaluator.resume(RULES, {"": stored[""]})).gauges


def test_no_part_grows_with_the_number_of_series_and_what_stands_still_is_not_written() -> None:
    sizes: list[int] = []
    for targets in (4, 16):
        evaluator = Evaluator(RULES)
        world = World(targets=tuple(f"api{n}.example" for n in range(targets)))
        for now, facts in world.minutes(START, START + 2 * HOUR):
            evaluator.feed(now, facts)
        written = evaluator.parts()
        assert len(written) == 1 + 4 * targets
        sizes.append(max(len(packed) for key, packed in written.items() if key))
        assert evaluator.parts().keys() == {""}
    assert sizes[1] <= 1.02 * sizes[0]


def test_what_is_let_go_is_let_go_in_the_store_and_other_rules_lose_nothing() -> None:
    evaluator = Evaluator(RULES)
    for now, facts in WORLD.minutes(START, START + HOUR):
        evaluator.feed(now, facts)
    stored = evaluator.parts()
    evaluator = evaluator.under(RULES)
    gone = next(iter(decoded(evaluator).gauges.values())).series.target
    known = decoded(evaluator).known[gone]
    evaluator.feed(START + HOUR + MINUTE, [msgspec.structs.replace(known, watched=False)])
    stored |= evaluator.under(RULES).parts()
    woken = decoded(Evaluator.resume(RULES, stored))
    assert woken == decoded(evaluator)
    assert all(each.series.target != gone for each in woken.gauges.values())


def test_a_memory_written_as_one_is_taken_up_and_written_in_parts() -> None:
    evaluator = Evaluator(RULES)
    for now, facts in WORLD.minutes(START, START + HOUR):
        evaluator.feed(now, facts)
    woken = Evaluator.resume(RULES, {"": evaluator.snapshot()})
    assert decoded(Evaluator.resume(RULES, woken.parts())) == decoded(evaluator)
