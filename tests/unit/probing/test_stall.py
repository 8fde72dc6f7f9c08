"""Windows in which this host did nothing are told, each once, whoever noticed them."""

import pytest

from nettrace.measure.probing.stall import (
    LOOK_EVERY_NS,
    OVERRUN_NS,
    StallGuard,
    cpu_stat_files,
    host_guard,
    stolen_ns,
    throttled_ns,
)

MS = 1_000_000


class Host:
    """Totals that a test raises."""

    def __init__(self) -> None:
        self.throttled = 0
        self.stolen = 0

    def guard(self) -> StallGuard:
        guard = StallGuard(lambda: self.throttled, lambda: self.stolen)
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


def test_throttling_without_a_late_wake_is_a_stall(host: Host) -> None:
    guard = host.guard()
    host.throttled = 75 * MS
    (stall,) = guard.observe(None, LOOK_EVERY_NS)
    assert (stall.start, stall.end) == (0, LOOK_EVERY_NS)
    assert "control group" in stall.cause


def test_throttling_that_a_late_wake_explains_is_told_once(host: Host) -> None:
    guard = host.guard()
    host.throttled = 75 * MS
    assert len(guard.observe(LOOK_EVERY_NS - 75 * MS, LOOK_EVERY_NS)) == 1


def test_steal_counts_from_a_twentieth_on(host: Host) -> None:
    guard = host.guard()
    host.stolen = LOOK_EVERY_NS // 25
    assert not guard.observe(None, LOOK_EVERY_NS)
    host.stolen += LOOK_EVERY_NS // 10
    (stall,) = guard.observe(None, 2 * LOOK_EVERY_NS)
    assert "hypervisor" in stall.cause


def test_both_versions_of_control_groups_are_understood() -> None:
    assert throttled_ns("nr_periods 2\nnr_throttled 1\nthrottled_usec 1500\n") == 1_500_000
    assert throttled_ns("nr_periods 2\nnr_throttled 1\nthrottled_time 1500\n") == 1500
    assert throttled_ns("usage_usec 9\n") == 0
    assert stolen_ns("cpu  1 2 3\n") == 0


def test_the_control_group_and_its_parents_are_watched() -> None:
    mounts = (
        "30 24 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"
        "31 24 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
    )
    assert cpu_stat_files("0::/user.slice/node\n", mounts) == (
        "/sys/fs/cgroup/user.slice/node/cpu.stat",
        "/sys/fs/cgroup/user.slice/cpu.stat",
        "/sys/fs/cgroup/cpu.stat",
    )


def test_version_one_and_a_mounted_subtree() -> None:
    mounts = "40 24 0:30 /docker/abc /sys/fs/cgroup/cpu,cpuacct ro - cgroup cgroup rw,cpu,cpuacct\n"
    groups = "4:memory:/docker/abc\n3:cpu,cpuacct:/docker/abc/inner\n"
    assert cpu_stat_files(groups, mounts) == (
        "/sys/fs/cgroup/cpu,cpuacct/inner/cpu.stat",
        "/sys/fs/cgroup/cpu,cpuacct/cpu.stat",
    )


def test_this_host_can_be_watched() -> None:
    guard = host_guard()
    assert not guard.observe(None, 0)
    guard.observe(None, LOOK_EVERY_NS)
