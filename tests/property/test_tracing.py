"""What holds for every path, every order of arrival and every nonsense: the machines' laws."""

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from nettrace.measure.tracing.flow import flow_for
from nettrace.measure.tracing.loop import loop_end
from nettrace.measure.tracing.machine import Machine
from nettrace.measure.tracing.multipath import MultipathOptions, MultipathRun, confidence_of, stopping_point
from nettrace.measure.tracing.ping import PingOptions, PingRound
from nettrace.measure.tracing.trace import TraceOptions, TraceRun
from nettrace.model.instant import NS_PER_MS, NS_PER_S
from nettrace.model.measurement import Grade, Method, Outcome, SampleState
from nettrace.model.path import Departure, Reply, ReplyKind, Trace
from nettrace.testing.simdriver import EPOCH, SimDriver
from nettrace.testing.simnet import Route, Router, SimNet, Site
from nettrace.testing.strategies import (
    DESTINATION,
    Delivery,
    ScheduledNet,
    departures,
    methods,
    replies,
    schedules,
    sites,
)

SITE = Site(address=DESTINATION, routes=(Route(stages=((Router(address="10.0.0.1", delay_ms=5),),)),))


def traced(site: Site, schedule: list[Delivery], options: TraceOptions) -> Trace:
    driver = SimDriver(ScheduledNet([site], schedule))
    machine = TraceRun("t", DESTINATION, options)
    driver.measure(machine)
    assert machine.done
    return machine.result()


def shape(trace: Trace) -> tuple[object, ...]:
    """All of a trace but its timing."""
    hops = tuple((hop.ttl, hop.address, hop.also, hop.annotation, hop.labels) for hop in trace.hops)
    return trace.outcome, trace.reason, trace.reached, trace.stop, trace.answered_from, hops


@given(sites(), schedules(), methods, st.integers(1, 3), st.booleans())
@settings(max_examples=150, deadline=None)
def test_order_delay_and_copies_of_answers_never_change_what_a_trace_says(
    site: Site, schedule: list[Delivery], method: Method, probes: int, scout: bool
) -> None:
    options = TraceOptions(method=method, probes_per_hop=probes, scout=scout)

    assert shape(traced(site, schedule, options)) == shape(traced(site, [Delivery(0)], options))


@given(sites(endings=False), schedules(), methods, st.integers(0, 5))
@settings(max_examples=150, deadline=None)
def test_the_hop_list_is_the_true_path_of_the_flow(
    site: Site, schedule: list[Delivery], method: Method, number: int
) -> None:
    trace = traced(site, schedule, TraceOptions(method=method, flow_number=number))

    net = SimNet([site])
    flow = flow_for(DESTINATION, method, number)
    true = [
        next(iter(net.owners(DESTINATION, flow, ttl, EPOCH)))
        if net.responds(DESTINATION, flow, ttl, EPOCH)
        else None
        for ttl in range(1, (net.length(DESTINATION, EPOCH) or 0) + 1)
    ]
    assert trace.reached
    assert [hop.address for hop in trace.hops] == true


@given(sites(longest=10, endings=False), st.integers(1, 1_000))
@settings(max_examples=60, deadline=None)
def test_at_most_the_scout_and_one_guess_go_behind_the_destination(site: Site, seed: int) -> None:
    net = SimNet([site], seed)
    job = SimDriver(net).measure(TraceRun("t", DESTINATION))

    length = net.length(DESTINATION, EPOCH)
    assert length is not None
    # The window may overtake a destination that is slower to answer than its routers.
    assert sum(fate.ttl > length for fate in job.fates.values()) <= 1 + TraceOptions().window


@given(schedules(longest_ms=3_000), st.integers(1, 8), st.integers(50, 1_500))
@settings(max_examples=100, deadline=None)
def test_a_ping_is_answered_or_lost_never_both_and_none_is_forgotten(
    schedule: list[Delivery], count: int, interval_ms: int
) -> None:
    machine = PingRound("t", DESTINATION, PingOptions(count=count, interval_ns=interval_ms * NS_PER_MS))
    job = SimDriver(ScheduledNet([SITE], schedule)).measure(machine)
    ping = machine.result()

    assert len(ping.samples) == len(job.fates) == count
    for sample in ping.samples:
        assert (sample.rtt_ns is not None) == (sample.state is SampleState.ANSWERED)
        if sample.state is SampleState.LOST:
            assert (job.finished_at or 0) >= (sample.sent_at or 0) + machine.options.timeout_ns


Event = tuple[str, object]
events = st.lists(
    st.one_of(
        st.tuples(st.just("due"), st.integers(0, 2 * NS_PER_S)),
        st.tuples(st.just("departed"), departures(st.integers(-2, 60))),
        st.tuples(st.just("replied"), replies(st.integers(-2, 60))),
        st.tuples(st.just("stalled"), st.tuples(st.integers(0, 3), st.integers(0, 3))),
        st.tuples(st.just("overflowed"), st.tuples(st.integers(0, 3), st.integers(0, 3))),
    ),
    max_size=60,
)
machines = st.sampled_from(
    (
        lambda: PingRound("t", DESTINATION, PingOptions(count=5, interval_ns=100 * NS_PER_MS)),
        lambda: TraceRun("t", DESTINATION, TraceOptions(probes_per_hop=2, payload_bytes=1400)),
        lambda: MultipathRun("t", DESTINATION, MultipathOptions(total_budget=30)),
    )
)


@given(machines, events)
@settings(max_examples=300, deadline=None)
def test_no_nonsense_breaks_a_machine_and_every_machine_ends(make: object, happened: list[Event]) -> None:
    machine: Machine = make()  # type: ignore[operator]
    now, asked = EPOCH, set[int]()
    for name, what in happened:
        match what:
            case int():
                now += what
                for probe in machine.due(now, 8):
                    assert probe.key not in asked
                    asked.add(probe.key)
            case Departure():
                machine.departed(what)
            case Reply():
                machine.replied(what)
            case (int() as start, int() as end):
                getattr(machine, name)(EPOCH + start * NS_PER_S, EPOCH + max(start, end) * NS_PER_S)
        machine.result()  # type: ignore[attr-defined]

    for _ in range(2_000):
        wake = machine.wake_at(now)
        if machine.done or wake is None:
            break
        now = max(now + 1, wake)
        for probe in machine.due(now, 8):
            machine.departed(Departure(probe.key, now, 0, Grade.KERNEL))
    assert machine.done
    assert machine.wake_at(now) is None
    assert machine.due(now + NS_PER_S, 8) == ()
    before = machine.result()  # type: ignore[attr-defined]
    for key in asked:
        machine.replied(Reply(key=key, kind=ReplyKind.ECHO_REPLY, source=DESTINATION, received_at=now))
    assert machine.result() == before  # type: ignore[attr-defined]


@given(st.integers(1, 12), st.floats(0.5, 0.999))
def test_a_stopping_point_is_the_first_that_gives_the_confidence(interfaces: int, confidence: float) -> None:
    flows = stopping_point(interfaces, confidence)

    assert confidence_of(interfaces, flows) >= confidence
    assert flows == interfaces + 1 or confidence_of(interfaces, flows - 1) < confidence


@given(st.lists(st.integers(0, 30).map(str), unique=True, min_size=1, max_size=20))
def test_a_path_of_different_addresses_is_no_loop(addresses: list[str]) -> None:
    assert loop_end(addresses) is None
    assert loop_end([*addresses, addresses[-1]]) is None


@given(st.integers(0, 5), st.integers(2, 6))
def test_every_loop_is_proven_within_two_rounds(before: int, period: int) -> None:
    addresses = [f"in{n}" for n in range(before)] + [f"round{n % period}" for n in range(3 * period)]

    end = loop_end(addresses)

    assert end is not None
    assert end == before + period + 1


@given(sites(), st.integers(1, 4_000))
@settings(max_examples=80, deadline=None)
def test_an_interrupted_trace_tells_a_prefix_of_the_truth(site: Site, after_ms: int) -> None:
    net = SimNet([site])
    machine = TraceRun("t", DESTINATION)
    SimDriver(net).measure(machine, until=EPOCH + after_ms * NS_PER_MS)
    trace = machine.result()
    assume(not machine.done)

    assert trace.stop == "aborted"
    assert (trace.outcome is Outcome.MEASURED) == trace.reached
    for hop in trace.hops:
        if hop.address is not None:
            assert hop.address in net.owners(DESTINATION, machine.flow, hop.ttl, EPOCH)
