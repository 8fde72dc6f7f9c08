"""An extra trace when length or round trip moves: at once, once, and never for noise."""

import random

from nettrace.model.instant import NS_PER_S
from nettrace.node.moved import ROUNDS_NEEDED, Level, Watch

MS = 1_000_000


def quiet(count: int, level_ns: int = 20 * MS, seed: int = 1) -> list[int]:
    noise = random.Random(seed)
    return [level_ns + int(noise.gauss(0, 100_000)) for _ in range(count)]


def test_noise_and_single_spikes_ask_for_nothing() -> None:
    level = Level()
    for number, rtt in enumerate(quiet(3000)):
        spike = 40 * MS if number % 17 == 0 else 0
        assert not level.moved([rtt + spike, rtt + 90 * MS], [57])


def test_a_level_that_moves_asks_once_in_either_direction() -> None:
    for new in (23 * MS, 17 * MS):
        level = Level()
        assert not any(level.moved([rtt], []) for rtt in quiet(50))
        answers = [level.moved([rtt], []) for rtt in quiet(40, new, seed=2)]
        assert answers.index(True) == 2, "the third round in a row"
        assert sum(answers) == 1


def test_a_shift_below_a_millisecond_and_five_percent_is_left_alone() -> None:
    level = Level()
    flat = [20 * MS] * 40
    assert not any(level.moved([rtt], []) for rtt in flat + [20 * MS + 900_000] * 20)


def test_nothing_is_said_before_there_is_a_normal() -> None:
    level = Level()
    assert not any(level.moved([rtt * MS], []) for rtt in range(1, 10 * ROUNDS_NEEDED, 10))


def test_a_new_length_asks_at_once_and_a_known_one_not() -> None:
    level = Level()
    ways = [57, 57, 56, 57, 56, 56, 57]
    assert [level.moved([20 * MS], [ttl] * 5) for ttl in ways] == [
        False,
        False,
        True,
        False,
        False,
        False,
        False,
    ]
    assert not level.moved([], [])
    assert level.moved([], [60, 60, 57])


def test_an_endpoint_that_moves_all_the_time_is_traced_politely() -> None:
    watch = Watch()
    asked = [
        watch.asks(("t", "rest"), ("icmp", "198.18.0.1"), ([20 * MS], [30 + number % 200]), number * NS_PER_S)
        for number in range(3600)
    ]
    assert sum(asked[:60]) == 2
    assert 10 <= sum(asked) <= 2 + 12


def test_a_thousand_endpoints_that_move_together_do_not_flood() -> None:
    watch = Watch()
    for ttl, expected in ((57, 0), (58, 10)):
        asked = [
            watch.asks((f"t{number}", "rest"), ("icmp", "198.18.0.1"), ([], [ttl]), 0)
            for number in range(1000)
        ]
        assert sum(asked) == expected


def test_a_name_with_many_addresses_has_a_normal_for_each() -> None:
    watch = Watch()
    for number in range(200):
        way = ("tcp", f"198.18.0.{number % 4}")
        assert not watch.asks(("t", "rest"), way, ([(20 + 30 * (number % 4)) * MS], []), number * NS_PER_S)
    watch.keep(set())
    assert not watch.asks(("t", "rest"), ("tcp", "198.18.0.0"), ([500 * MS], [9]), 0)


def test_a_move_asks_for_two_traces_because_one_proves_no_change_of_route() -> None:
    watch, way, other = Watch(), ("icmp", "198.18.0.1"), ("tcp", "198.18.0.1")
    for number in range(20):
        assert not watch.asks(("t", "rest"), way, ([20 * MS], [57]), number * NS_PER_S)
        assert not watch.asks(("t", "rest"), other, ([20 * MS], [57]), number * NS_PER_S)
    asked = []
    for number in range(20, 25):
        asked.append(watch.asks(("t", "rest"), way, ([20 * MS], [56]), number * NS_PER_S))
        assert not watch.asks(("t", "rest"), other, ([20 * MS], [57]), number * NS_PER_S)
    assert asked == [True, True, False, False, False], "at once, and with the next round the same way"
