"""Vantages that change together are one event, and coincidence is none."""

from tests.unit.routes.paths import START, STEP

from nettrace.analysis.routes.shared import LEAST_RATE_PER_DAY, shared_changes, tail
from nettrace.model.measurement import Method
from nettrace.model.route import Route, RouteChange, RouteClass

VANTAGES = [f"v{number}" for number in range(8)]
TARGETS = [f"t{number}" for number in range(5)]
RATES = {(vantage, target): LEAST_RATE_PER_DAY for vantage in VANTAGES for target in TARGETS}


def change(
    vantage: str, target: str = "t0", scan: int = 0, kind: RouteClass = RouteClass.AS_PATH, left: int = 174
) -> RouteChange:
    def route(name: str, *ases: int) -> Route:
        return Route(id=name, since=START, hops=(), as_path=ases)

    return RouteChange(
        vantage=vantage, target=target, method=Method.UDP, at=START + scan * STEP, detected_at=START, kind=kind,
        before=route("rt_a", 1, left, 3), after=route("rt_b", 1, 2914, 3), confidence=0.9, traces=2,
    )  # fmt: skip


def test_five_vantages_within_two_scans_are_one_event_with_the_as_they_left() -> None:
    (event,) = shared_changes([change(v, scan=n % 2) for n, v in enumerate(VANTAGES[:5])], RATES, 2 * STEP)
    assert (event.towards, event.asn) == ("t0", 174)
    assert (len(event.changes), event.out_of) == (5, 8)
    assert event.p_value < 1e-6


def test_one_as_left_towards_many_targets_is_one_event() -> None:
    changes = [change(vantage, target) for vantage, target in zip(VANTAGES, TARGETS, strict=False)]
    (event,) = shared_changes(changes, RATES, 2 * STEP)
    assert (event.towards, event.asn, len(event.changes)) == (None, 174, 5)


def test_one_vantage_alone_days_apart_or_mere_balancing_are_none() -> None:
    assert shared_changes([change("v0", target) for target in TARGETS], RATES, 2 * STEP) == []
    assert shared_changes([change("v0"), change("v1", scan=400)], RATES, 2 * STEP) == []
    balanced = [change(vantage, kind=RouteClass.LOAD_BALANCING) for vantage in VANTAGES]
    assert shared_changes(balanced, RATES, 2 * STEP) == []


def test_pairs_that_change_all_day_long_prove_nothing_together() -> None:
    restless = dict.fromkeys(RATES, 40.0)
    assert shared_changes([change("v0"), change("v1")], restless, 2 * STEP) == []


def test_the_tail_is_the_poisson_binomial() -> None:
    assert tail([0.1, 0.2], 0) == 1.0
    assert abs(tail([0.1, 0.2], 1) - 0.28) < 1e-12
    assert abs(tail([0.1, 0.2], 2) - 0.02) < 1e-12
