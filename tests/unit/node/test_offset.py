"""The clock offset against a hub whose truth is known."""

import random

from nettrace.model.instant import NS_PER_S
from nettrace.node.offset import Exchange, Offset

TRUE_NS = 3_700_000_000
START = 1_767_225_600 * NS_PER_S


def exchange(at: int, out_ns: int, back_ns: int, true_ns: int = TRUE_NS) -> Exchange:
    received_at = at + out_ns + true_ns
    return Exchange(at, received_at, received_at + 5_000, at + out_ns + 5_000 + back_ns)


def test_truth_lies_within_the_bar_however_uneven_the_way() -> None:
    noise = random.Random(4)
    offset = Offset()
    for number in range(500):
        at = START + number * NS_PER_S
        out, back = (2_000_000 + int(noise.expovariate(1 / 20e6)) for _ in range(2))
        stamps = exchange(at, out, back)
        offset.learn(stamps, monotonic=stamps.back_at - START)
        clock = offset.clock(synchronised=True)
        assert clock is not None
        assert abs(clock.offset_ns - TRUE_NS) <= clock.error_ns
        assert clock.synchronised is True
        if number > 40:
            assert abs(clock.offset_ns - TRUE_NS) < 12_000_000, "the quickest exchanges decide"


def test_a_clock_that_was_set_forgets_what_it_knew() -> None:
    offset = Offset()
    for number in range(20):
        offset.learn(exchange(START + number, 1_000, 1_000), monotonic=START + number)
    offset.learn(exchange(START + NS_PER_S, 9_000_000, 9_000_000, true_ns=0), monotonic=START - NS_PER_S)
    clock = offset.clock()
    assert clock is not None
    assert abs(clock.offset_ns) <= clock.error_ns


def test_impossible_stamps_teach_nothing() -> None:
    offset = Offset()
    offset.learn(Exchange(10, 500, 400, 20), monotonic=0)
    offset.learn(Exchange(10, 500, 900, 20), monotonic=0)
    assert offset.clock() is None
