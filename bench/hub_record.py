"""The records that `bench.hub_faults` sends: each follows from its number, so that a wrong one shows as well as a missing one."""

from nettrace.model.instant import NS_PER_S
from nettrace.model.measurement import Grade, Method, Outcome, Ping, Sample, SampleState
from nettrace.model.target import RoundMethod
from nettrace.wire.frames import Record

START = 1_790_000_000 * NS_PER_S
"""Due of the first record; one a second follows."""


def record(seq: int, node: int) -> Record:
    """The record every sender would make with this number: its RTT tells number and node apart."""
    due = START + seq * NS_PER_S
    rtt_ns = 1_000_000 + 1000 * node + seq % 1000
    sample = Sample(
        state=SampleState.ANSWERED, sent_at=due, rtt_ns=rtt_ns, error_ns=10_000, grade=Grade.KERNEL
    )
    ping = Ping(
        target="t.example", address="198.18.0.1", at=due, outcome=Outcome.MEASURED, method=Method.TCP, port=443,
        samples=(sample,),
    )  # fmt: skip
    return Record(
        seq=seq, target="t.example", endpoint="site", method=RoundMethod.TCP, due=due, measurement=ping
    )
