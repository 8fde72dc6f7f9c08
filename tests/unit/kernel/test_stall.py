"""Windows in which this host did nothing are told, each once, whoever noticed them."""

import pytest

from nettrace.measure.kernel.stall import LOOK_EVERY_NS, OVERRUN_NS, StallGuard, host_guard, stolen_ns

MS = 1_000_000


class Host:
    """A total that a test raises."""

    def __init__(self) -> None:
        self.stolen = 0

    def guard(self) -> StallGuard:
        guard = StallGuard(lambda: self.stolen)
        assert not guard.observe(None, 0)
        return guard


@pytest.fixture
def host() -> Host:
    return Host()


def test_waking_late_is_a_stall(host: Host) -> None:
    (stall,) = host.guard().observe(10 * MS, 10 * MS + OVERRUN_NS + 1)
    assert (stall.start, stall.end) == (10 * MS, 10 * MS + OVERRUN_NS + 1)


def test_waking_in_time_or_early_is_none(host: Host) -> None:
    guard = host.guard()
    assert not guard.observe(10 * MS, 10 * MS + OVERRUN_NS)
    assert not guard.observe(30 * MS, 20 * MS)


def test_a_program_held_back_by_a_quota_is_none_because_the_kernel_went_on(host: Host) -> None:
    guard = host.guard()
    for round_ in range(1, 10):  # 5 ms in 80 ms
        assert not guard.observe(round_ * 80 * MS - 75 * MS, round_ * 80 * MS)


def test_steal_that_a_late_wake_explains_is_told_once(host: Host) -> None:
    guard = host.guard()
    host.stolen = OVERRUN_NS
    assert len(guard.observe(LOOK_EVERY_NS, LOOK_EVERY_NS + OVERRUN_NS + 1)) == 1


def test_steal_counts_from_a_twentieth_on(host: Host) -> None:
    guard = host.guard()
    host.stolen = LOOK_EVERY_NS // 25
    assert not guard.observe(None, LOOK_EVERY_NS)
    host.stolen += LOOK_EVERY_NS // 10
    (stall,) = guard.observe(None, 2 * LOOK_EVERY_NS)
    assert "hypervisor" in stall.cause


def test_a_file_without_steal_tells_of_none() -> None:
    assert stolen_ns("cpu  1 2 3\n") == 0


def test_this_host_can_be_watched() -> None:
    guard = host_guard()
    assert not guard.observe(None, 0)
    guard.observe(None, LOOK_EVERY_NS)
