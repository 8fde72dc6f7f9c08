"""A node in the mesh: where it says it is reached, and which clock its one-way delays stand on."""

import pytest

from nettrace.errors import Invalid
from nettrace.measure.probing.stamp_socket import Wall
from nettrace.model.vantage import Clock
from nettrace.node.mesh import MeshClock, Reach, agreed
from nettrace.node.offset import Exchange, Offset

MS = 1_000_000


def test_the_kernels_word_holds_until_the_hub_contradicts_it():
    kept = Wall(error_ns=2 * MS)
    assert agreed(kept, None) == kept
    assert agreed(kept, Clock(offset_ns=5 * MS, error_ns=4 * MS)) == kept
    assert agreed(kept, Clock(offset_ns=7 * MS, error_ns=4 * MS)) == Wall(offset_ns=7 * MS, error_ns=4 * MS)
    assert agreed(Wall(), Clock(offset_ns=7 * MS, error_ns=4 * MS)) == Wall(offset_ns=7 * MS, error_ns=4 * MS)
    assert agreed(Wall(), None).error_ns is None


def test_what_is_known_of_the_clock_is_asked_for_once_a_second():
    asked = []
    now = [0.0]

    def hub():
        asked.append(now[0])

    clock = MeshClock(hub, lambda: Wall(error_ns=1), lambda: now[0])
    for at in (0.0, 0.5, 0.99, 1.0, 1.5, 2.1):
        now[0] = at
        assert clock.wall().error_ns == 1
    assert asked == [0.0, 1.0, 2.1]


@pytest.mark.parametrize(
    ("told", "address"),
    [
        ("192.0.2.1", "192.0.2.1:862"),
        ("192.0.2.1:8620", "192.0.2.1:8620"),
        ("node.example:862", "node.example:862"),
        ("[2001:db8::1]:863", "[2001:db8::1]:863"),
        ("2001:db8::1", "[2001:db8::1]:862"),
        (None, ""),
    ],
)
def test_where_it_is_reached(told, address):
    assert Reach(told, Wall).address == address


@pytest.mark.parametrize("told", ["", ":862", "host:port", "host:0", "host:70000"])
def test_where_it_cannot_be_reached(told):
    with pytest.raises(Invalid):
        Reach(told, Wall)


def test_two_clocks_drifting_apart_are_told_with_their_rate():
    offset = Offset()
    for second in range(0, 3600, 10):
        ahead = 5 * MS + second * 30_000  # the hub's clock runs 30 ppm faster
        at = second * 1_000_000_000
        offset.learn(Exchange(at, at + MS + ahead, at + MS + ahead, at + 2 * MS), monotonic=at)
        if second < 60:
            assert offset.clock().drift_ppm is None
    assert offset.clock().drift_ppm == pytest.approx(30.0, abs=0.5)
