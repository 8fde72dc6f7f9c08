"""Reports as nodes make them."""

from nettrace.model.instant import NS_PER_S
from nettrace.model.measurement import Grade, Method, Outcome, Ping, Sample, SampleState
from nettrace.model.target import RoundMethod
from nettrace.wire.frames import Record, Report

NOW = 1_700_000_000 * NS_PER_S


def record(seq: int, *, request: str | None = None, due: int | None = None, target="t.example") -> Record:
    at = NOW + seq * NS_PER_S if due is None else due
    sample = Sample(
        state=SampleState.ANSWERED, sent_at=at, rtt_ns=1_000_000 + seq, error_ns=10_000, grade=Grade.KERNEL
    )
    ping = Ping(
        target=target, address="198.18.0.1", at=at, outcome=Outcome.MEASURED, method=Method.TCP, port=443,
        samples=(sample,),
    )  # fmt: skip
    return Record(
        seq=seq, target=target, endpoint="site", method=RoundMethod.TCP, due=at, measurement=ping, request=request
    )  # fmt: skip


def report(node: str, *entries: Record, epoch: str = "e1", first_seq: int | None = None) -> Report:
    first = entries[0].seq if first_seq is None and entries else first_seq or 1
    return Report(node=node, epoch=epoch, first_seq=first, entries=entries, sent_at=NOW, version="1")
