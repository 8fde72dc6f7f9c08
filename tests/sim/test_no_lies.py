"""A day in virtual time with everything that goes wrong: no false loss, no false hop, no broken error bar."""

import pytest

from nettrace.measure.tracing.flight import Watch
from nettrace.testing.simdriver import HostFaults
from nettrace.testing.simworld import WorldShape
from nettrace.testing.virtual_day import Day, live, walk_pairs


@pytest.mark.slow
def test_a_day_without_a_lie() -> None:
    ledger = live(Day(world=WorldShape(sites=12)), seed=1)

    assert ledger.lies == []
    # The day was hard enough to tempt: there were real losses, silent routers, and probes we had to disown.
    assert ledger.probes > 100_000
    assert ledger.lost > 1_000
    assert ledger.silent_hops > 500
    assert ledger.not_measured > 100
    assert ledger.reached > 0.8 * ledger.traces


def test_an_hour_in_which_routes_change_every_few_seconds() -> None:
    ledger = live(Day(hours=1, world=WorldShape(sites=20, changes_per_day=20_000)), seed=5)

    assert ledger.lies == []
    assert ledger.reached > 0


def test_an_hour_on_a_host_that_stands_still_all_the_time() -> None:
    day = Day(hours=1, world=WorldShape(sites=20), stalls_per_day=60_000, faults=HostFaults(stall_drop=0.9))

    ledger = live(day, seed=6)

    assert ledger.lies == []
    assert ledger.not_measured > 100


def test_the_ledger_catches_a_machine_that_ignores_stalls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Watch, "spoils", lambda *_: None)
    monkeypatch.setattr(Watch, "stall_ns", lambda *_: 0)

    ledger = live(Day(hours=1, world=WorldShape(sites=20), stalls_per_day=60_000), seed=6)

    assert any("false loss (dropped by this host)" in lie for lie in ledger.lies)
    assert any("round trip off" in lie for lie in ledger.lies)


def test_a_thousand_pairs_show_every_hop_that_answers() -> None:
    pairs = walk_pairs(1000, seed=11)

    assert pairs.missing == ()
    assert pairs.exact == pairs.traced == 1000
    assert pairs.hops > 10_000
