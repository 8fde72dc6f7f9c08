"""Bounded multipath discovery: how many flows are enough, and what is said when they were not."""

import itertools

import pytest

from nettrace.measure.tracing.multipath import MultipathOptions, MultipathRun, confidence_of, stopping_point
from nettrace.measure.tracing.trace import TraceOptions
from nettrace.model.path import Probe, StopReason, Trace
from nettrace.testing.simclock import SimClock
from nettrace.testing.simdriver import EPOCH, HostFaults, Job, SimDriver
from nettrace.testing.simnet import Fate, Route, Router, SimNet, Site

HOST = "198.18.0.1"


def run(*widths: int, until: int | None = None, **options: object) -> tuple[Trace, Job]:
    stages = tuple(
        tuple(Router(address=f"10.{n}.0.{hop}") for n in range(width)) for hop, width in enumerate(widths, 1)
    )
    machine = MultipathRun("h", HOST, MultipathOptions(**options))  # type: ignore[arg-type]
    job = SimDriver(SimNet([Site(address=HOST, routes=(Route(stages=stages),))])).measure(machine, until)
    return machine.result(), job


@pytest.mark.parametrize(
    ("confidence", "table"), [(0.95, [6, 11, 16, 21, 27, 33]), (0.99, [8, 15, 21, 28, 36, 43])]
)
def test_stopping_points_are_those_of_the_literature(confidence: float, table: list[int]) -> None:
    # Augustin, Friedman, Teixeira 2007, table 1.
    assert [stopping_point(k, confidence) for k in range(1, 7)] == table


def test_fewer_flows_than_suspects_give_no_confidence() -> None:
    assert confidence_of(4, 4) == 0.0
    assert confidence_of(1, 2) == pytest.approx(0.5)


def test_a_path_without_balancers_costs_six_flows_a_hop_and_shows_none() -> None:
    trace, job = run(1, 1, 1)

    assert trace.balances == ()
    assert trace.stop is StopReason.REACHED
    by_ttl = [sum(fate.ttl == ttl for fate in job.fates.values()) for ttl in (1, 2, 3, 4)]
    assert by_ttl == [6, 6, 6, 1]


def test_only_hops_where_flows_differ_get_more_flows() -> None:
    trace, job = run(1, 3, 1)

    assert [(balance.ttl, len(balance.addresses), balance.flows_probed) for balance in trace.balances] == [
        (2, 3, 16)
    ]
    assert trace.balances[0].confidence >= 0.95
    assert [sum(fate.ttl == ttl for fate in job.fates.values()) for ttl in (1, 3)] == [6, 6]


def test_the_hop_budget_ends_the_search_and_the_confidence_says_so() -> None:
    trace, job = run(8, hop_budget=10)

    (balance,) = trace.balances
    assert sum(fate.ttl == 1 for fate in job.fates.values()) == 11
    assert balance.confidence == confidence_of(len(balance.addresses), balance.flows_probed) < 0.95


def test_the_total_budget_holds_over_all_hops() -> None:
    _, job = run(4, 4, 4, total_budget=20)

    traced = 5  # one for each hop, the destination, and the scout
    assert len(job.fates) == traced + 20


def test_it_can_be_interrupted_in_either_phase() -> None:
    first, _ = run(2, 2, until=EPOCH + 1)
    second, _ = run(2, 2, until=EPOCH + 300_000_000)

    assert first.stop is second.stop is StopReason.ABORTED
    assert second.reached


class Listening(SimNet):
    """Remembers which flows were sent to TTL 1."""

    def send(self, at: int, probe: Probe, token: int = 0) -> Fate:
        self.heard = [*getattr(self, "heard", []), probe.flow.number] if probe.ttl == 1 else self.heard
        return super().send(at, probe, token)


def test_another_canonical_flow_is_not_tried_twice() -> None:
    machine = MultipathRun("h", HOST, MultipathOptions(trace=TraceOptions(flow_number=2, scout=False)))
    net = Listening([Site(address=HOST, routes=(Route(stages=((Router(address="10.0.0.1"),),)),))])
    SimDriver(net).measure(machine)

    assert net.heard == [2, 0, 1, 3, 4, 5]


def one_stage(
    *stage: Router, clock: SimClock | None = None, faults: HostFaults | None = None
) -> tuple[Trace, Job]:
    machine = MultipathRun("h", HOST)
    net = SimNet([Site(address=HOST, routes=(Route(stages=(stage,)),))])
    job = SimDriver(net, clock=clock, faults=faults).measure(machine)
    return machine.result(), job


def test_probes_under_way_count_so_that_a_slow_hop_gets_no_more_than_a_fast_one() -> None:
    _, job = one_stage(Router(address="10.0.0.1", delay_ms=450))

    assert sum(fate.ttl == 1 for fate in job.fates.values()) == 6


def test_a_hop_that_never_answers_again_is_left_in_peace() -> None:
    _, job = one_stage(Router(address="10.0.0.1", answers_per_s=1e-6, answer_burst=1))

    assert sum(fate.ttl == 1 for fate in job.fates.values()) <= 8


def test_silence_makes_it_slower_up_to_the_pace_of_a_limited_router() -> None:
    pair = [Router(address=f"10.{n}.0.1", answers_per_s=1.0, answer_burst=1) for n in range(2)]
    trace, job = one_stage(*pair)

    assert len(trace.balances[0].addresses) == 2
    sent = sorted(fate.sent_at for fate in job.fates.values() if fate.ttl == 1)
    assert max(later - earlier for earlier, later in itertools.pairwise(sent)) >= 1_100_000_000


def test_a_stall_costs_a_repeat_and_no_patience() -> None:
    ms = (
        1_000_000  # from just after the trace on, nine tenths of all time are lost, and all answers with them
    )
    pauses = [(EPOCH + start * ms, EPOCH + (start + 90) * ms) for start in range(75, 4000, 100)]
    pair = [Router(address=f"10.{n}.0.1", delay_ms=30) for n in range(2)]
    trace, _ = one_stage(*pair, clock=SimClock(stalls=pauses), faults=HostFaults(stall_drop=1.0))

    assert len(trace.balances[0].addresses) == 2
    assert trace.balances[0].confidence >= 0.95
