"""Budgets by name, and memory that does not grow for ever."""

from nettrace.measure.tracing.politeness import Limits, Politeness, Rate
from nettrace.model.instant import NS_PER_S


def test_a_packet_refused_by_one_budget_costs_no_other() -> None:
    politeness = Politeness(Limits(node=Rate(100, 2), router=Rate(1, 1)))

    assert politeness.allow(0, "198.18.0.1", "10.0.0.1")
    assert not politeness.allow(0, "198.18.0.2", "10.0.0.1")
    assert politeness.allow(0, "198.18.0.2", "10.0.0.2")


def test_a_router_is_asked_five_times_then_once_a_second() -> None:
    politeness = Politeness()
    sent = [
        tenth
        for tenth in range(100)
        if politeness.allow(tenth * NS_PER_S // 10, f"198.18.{tenth}.1", "10.0.0.1")
    ]

    assert sent == [0, 1, 2, 3, 4, *range(10, 100, 10)]


def test_the_destination_is_its_own_target_not_also_a_router() -> None:
    politeness = Politeness()

    assert all(politeness.allow(0, "198.18.0.1", "198.18.0.1") for _ in range(40))
    assert not politeness.allow(0, "198.18.0.1", "198.18.0.1")


def test_waiting_is_until_the_slowest_budget_has_a_token() -> None:
    politeness = Politeness(Limits(target=Rate(2, 1), network=Rate(10, 1), router=Rate(1, 1)))
    politeness.allow(0, "198.18.0.1", "10.0.0.1")

    assert politeness.next_at(0, "198.18.0.1", "10.0.0.1") == NS_PER_S
    assert politeness.next_at(0, "198.18.0.1") == NS_PER_S // 2
    assert politeness.next_at(0, "198.18.0.2") == NS_PER_S // 10
    assert politeness.next_at(0, "198.18.1.2") == 0


def test_ten_thousand_targets_leave_no_ten_thousand_buckets() -> None:
    politeness = Politeness()
    for number in range(10_000):
        politeness.allow(number * NS_PER_S // 100, f"198.{number >> 16}.{number >> 8 & 255}.{number & 255}")

    assert len(politeness) < 2500


def test_a_grant_is_what_could_be_spent_one_by_one() -> None:
    limits = Limits(node=Rate(50, 9), target=Rate(5, 4), network=Rate(20, 6))
    at_once, singly = Politeness(limits), Politeness(limits)
    granted: list[int] = []
    for now in range(0, 3 * NS_PER_S, NS_PER_S // 16):
        for target in ("198.18.0.1", "198.18.0.2", "198.18.1.1"):
            count = at_once.grant(now, target, 5)
            at_once.spend(now, target, count)
            assert count == sum(singly.allow(now, target) for _ in range(5))
            granted.append(count)
    assert {0, 1, 2, 4} <= set(granted)


def test_nothing_is_granted_before_a_promised_turn() -> None:
    politeness = Politeness(Limits(target=Rate(1, 1)))
    politeness.spend(0, "198.18.0.1")
    turn, spent = politeness.wait(0, "198.18.0.1")
    assert (turn, spent) == (NS_PER_S, "target")
    assert politeness.grant(turn - 1, "198.18.0.1", 5, turn) == 0
    assert politeness.grant(turn - 1, "198.18.0.1", 5) == 0
    assert politeness.grant(turn, "198.18.0.1", 5, turn) == 1
