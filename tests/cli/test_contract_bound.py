"""No run hangs: whatever a machine does, the options say when it is over."""

from collections.abc import Sequence

import pytest

from nettrace.measure.probing.engine import Engine
from nettrace.measure.probing.patience import (
    Patience,
    longest_multipath_s,
    longest_ping_s,
    longest_trace_s,
)
from nettrace.measure.probing.ping import drive, in_time
from nettrace.measure.probing.sockets import Sockets
from nettrace.measure.tracing.multipath import MultipathOptions
from nettrace.measure.tracing.ping import PingOptions, PingRound
from nettrace.measure.tracing.trace import TraceOptions
from nettrace.model.instant import NS_PER_S
from nettrace.model.measurement import Outcome, Reason
from nettrace.model.path import Probe


class Lost(PingRound):
    """A machine that forgot what it was waiting for: never done, and no moment at which to ask it again."""

    @property
    def done(self) -> bool:
        return False

    def due(self, now: int, room: int) -> Sequence[Probe]:
        return ()

    def wake_at(self, now: int) -> int | None:
        return None


def test_a_machine_that_never_ends_is_handed_out_when_its_time_is_over() -> None:
    patience = Patience(0.2, None)
    with Sockets(raw=False) as sockets:
        (machine,) = drive(Engine(sockets), [Lost("lost", "127.0.0.1")], 10, patience)
    result = in_time(machine.result(), patience, done=machine.done)
    assert patience.overdue
    assert (result.outcome, result.reason) == (Outcome.NOT_MEASURED, Reason.ABORTED)
    assert result.detail == "not finished after 0 s, more than these options can take: please report it"


def test_being_told_to_stop_is_not_being_overdue() -> None:
    asked = iter([False, True, True])
    patience = Patience(1000.0, lambda: next(asked))
    with Sockets(raw=False) as sockets:
        (machine,) = drive(Engine(sockets), [Lost("lost", "127.0.0.1")], 10, patience)
    assert not patience.overdue
    assert in_time(machine.result(), patience, done=machine.done).detail is None


@pytest.mark.parametrize("timeout_s", [1, 20])
def test_the_limit_lies_beyond_what_the_options_allow(timeout_s: int) -> None:
    ping = PingOptions(count=100, interval_ns=NS_PER_S, timeout_ns=timeout_s * NS_PER_S)
    assert longest_ping_s(ping, 1, 1000, 1000.0) > 100 + timeout_s
    assert longest_ping_s(ping, 10_000, 1000, 1000.0) > 10 * (100 + timeout_s) + 10_000 * 100 / 1000
    trace = TraceOptions(timeout_ns=timeout_s * NS_PER_S)
    assert longest_trace_s(trace, 1, 1000, 1000.0) > 32 * 3 * timeout_s
    wide = MultipathOptions(trace=trace)
    assert longest_multipath_s(wide, 1, 1000, 1000.0) > longest_trace_s(trace, 1, 1000, 1000.0)
