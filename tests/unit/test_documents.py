"""The public documents say what contracts promise: units in names, null for "not measured", nothing rounded away."""

import msgspec
import pytest

from nettrace.errors import Invalid
from nettrace.model.measurement import (
    Clock,
    Grade,
    HttpExchange,
    Measurement,
    Method,
    Outcome,
    Ping,
    Reason,
    Sample,
    SampleState,
    Stage,
    Stages,
)
from nettrace.model.path import Hop, Label, StopReason, Trace
from nettrace.wire.documents import document

AT = 1_767_225_600_000_000_000
MS = 1_000_000


def answered(rtt_ms: float) -> Sample:
    return Sample(
        state=SampleState.ANSWERED, sent_at=AT, rtt_ns=int(rtt_ms * MS), error_ns=1000, grade=Grade.KERNEL
    )


LOST = Sample(state=SampleState.LOST, sent_at=AT)
STALLED = Sample(state=SampleState.NOT_MEASURED, reason="stalled", stalled=True)


def ping(*samples: Sample) -> Ping:
    return Ping(
        target="api.example",
        address="198.18.0.1",
        at=AT,
        outcome=Outcome.MEASURED,
        method=Method.ICMP,
        samples=samples,
        clock=Clock.KERNEL,
    )


def test_a_ping_has_every_field_of_the_contract() -> None:
    made = document(ping(answered(10.01), answered(10.02)))
    assert (
        made.items()
        >= {
            "schema": "nettrace.ping/1",
            "target": "api.example",
            "address": "198.18.0.1",
            "method": "icmp",
            "outcome": "measured",
            "reason": None,
            "sent": 2,
            "received": 2,
            "min_ms": 10.01,
            "clock": "kernel",
            "at": "2026-01-01T00:00:00.000000Z",
        }.items()
    )
    assert made["rtt_ms"] == [10.01, 10.02]


def test_a_lost_probe_is_null_in_its_place_and_counts_as_sent() -> None:
    made = document(ping(answered(10), LOST, answered(12)))
    assert made["rtt_ms"] == [10.0, None, 12.0]
    assert (made["sent"], made["received"], made["not_measured"]) == (3, 2, 0)


def test_a_probe_this_host_spoiled_is_neither_sent_nor_lost() -> None:
    made = document(ping(answered(10), STALLED))
    assert (made["sent"], made["received"], made["not_measured"]) == (1, 1, 1)
    assert [len(made[name]) for name in ("rtt_ms", "error_ms", "grades")] == [1, 1, 1]


def test_without_an_answer_every_statistic_is_null_never_zero() -> None:
    made = document(ping(LOST, LOST))
    assert [made[name] for name in ("min_ms", "p50_ms", "p95_ms", "max_ms")] == [None] * 4


def test_percentiles_are_observed_values_by_nearest_rank() -> None:
    made = document(ping(*(answered(float(value)) for value in range(1, 21))))
    assert (made["p50_ms"], made["p95_ms"], made["max_ms"]) == (10.0, 19.0, 20.0)


def trace(*, reached: bool) -> Trace:
    return Trace(
        target="api.example",
        address="198.18.0.1",
        at=AT,
        outcome=Outcome.MEASURED if reached else Outcome.FAILED,
        reason=None if reached else Reason.TIMEOUT,
        method=Method.UDP,
        flow=0,
        reached=reached,
        stop=StopReason.REACHED if reached else StopReason.GAP,
        rtt_ns=153_200_000,
        hops=(
            Hop(
                ttl=1,
                address="10.0.0.1",
                samples=(answered(0.41),),
                labels=(Label(label=16, traffic_class=0, bottom=True, ttl=1),),
                also=("10.0.0.2",),
            ),
            Hop(ttl=2, address=None, samples=(LOST,)),
        ),
    )


def test_a_trace_has_every_field_of_the_contract() -> None:
    made = document(trace(reached=True))
    assert (
        made.items()
        >= {
            "schema": "nettrace.trace/1",
            "vantage": None,
            "target": "api.example",
            "address": "198.18.0.1",
            "method": "udp",
            "flow": 0,
            "outcome": "measured",
            "reason": None,
            "reached": True,
            "rtt_ms": 153.2,
        }.items()
    )
    first, silent = made["hops"]
    assert (
        first.items()
        >= {"ttl": 1, "address": "10.0.0.1", "asn": None, "place": None, "also": ["10.0.0.2"]}.items()
    )
    assert first["mpls"] == [{"label": 16, "tc": 0, "s": True, "ttl": 1}]
    assert silent.items() >= {"ttl": 2, "address": None, "rtt_ms": [None], "mpls": None}.items()
    assert "also" not in silent


def test_a_hops_nulls_are_losses_and_nothing_else() -> None:
    def shown(*samples: Sample) -> object:
        hop = Hop(ttl=1, address="10.0.0.1", samples=samples)
        return document(msgspec.structs.replace(trace(reached=False), hops=(hop,)))["hops"][0]["rtt_ms"]

    assert shown(STALLED, LOST, answered(2)) == [None, 2.0]
    assert shown(STALLED, answered(2)) == [2.0]
    assert shown(STALLED, STALLED) == [None]


def test_an_unreached_target_has_no_round_trip_time() -> None:
    made = document(trace(reached=False))
    assert (made["rtt_ms"], made["outcome"], made["reason"]) == (None, "failed", "timeout")


def test_a_kept_alive_request_has_null_for_the_stages_it_did_not_have() -> None:
    exchange = HttpExchange(
        target="h",
        url="https://h/p",
        address="198.18.0.1",
        at=AT,
        outcome=Outcome.MEASURED,
        status=200,
        reused=True,
        stages=Stages(ttfb=Stage(duration_ns=12 * MS, error_ns=5000, grade=Grade.KERNEL), total_ns=13 * MS),
    )
    made = document(exchange)
    assert [made[name] for name in ("dns_ms", "connect_ms", "tls_ms", "ttfb_ms", "total_ms")] == [
        None,
        None,
        None,
        12.0,
        13.0,
    ]
    assert made["reused"] is True


@pytest.mark.parametrize("made", [document(ping(LOST)), document(trace(reached=True))])
def test_documents_are_json(made: dict[str, object]) -> None:
    assert msgspec.json.decode(msgspec.json.encode(made)) == made


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(Invalid, match="no public document"):
        document(Measurement(target="x", address=None, at=AT, outcome=Outcome.FAILED))
