"""A store with some days of rounds in it, and what a reader of it sees."""

from pathlib import Path

import msgspec

from nettrace.model.instant import NS_PER_S, Instant
from nettrace.model.measurement import Grade, Method, Outcome, Ping, Reason, Sample, SampleState
from nettrace.model.target import RoundMethod
from nettrace.model.vantage import Vantage
from nettrace.store.embedded.reader import EmbeddedReader
from nettrace.store.embedded.writer import EmbeddedWriter
from nettrace.store.port import Choice, EnrolToken
from nettrace.store.rows import Round, Window
from nettrace.wire.frames import Record, Report

DAY = 86_400 * NS_PER_S
HOUR = 3_600 * NS_PER_S
START: Instant = 20_000 * DAY
EVER = Window(0, 2**62)
TARGETS = ("a.example", "b.example", "c.example")


def record(seq: int, due: Instant, target: str) -> Record:
    """A TCP round of three samples, every 17th of them lost, every 29th round failed."""
    number = due // (900 * NS_PER_S) + TARGETS.index(target)
    samples = tuple(
        Sample(state=SampleState.LOST)
        if (number + probe) % 17 == 0
        else Sample(
            state=SampleState.ANSWERED, rtt_ns=10_000_000 + (number * 7_919 + probe * 104_729) % 3_000_000,
            error_ns=900, grade=Grade.KERNEL,
        )
        for probe in range(3)
    )  # fmt: skip
    failed = number % 29 == 0
    measured = Ping(
        target=target, address="192.0.2.1", at=due + 5_000, outcome=Outcome.FAILED if failed else Outcome.MEASURED,
        reason=Reason.TIMEOUT if failed else None, method=Method.TCP, port=443, samples=() if failed else samples,
    )  # fmt: skip
    return Record(
        seq=seq, target=target, endpoint="rest", method=RoundMethod.TCP, due=due, measurement=measured
    )


def report(records: list[Record], epoch: str) -> Report:
    numbered = [msgspec.structs.replace(each, seq=place + 1) for place, each in enumerate(records)]
    return Report(node="n", epoch=epoch, first_seq=1, entries=tuple(numbered), sent_at=START)


def fill(folder: Path, days: int = 2, first: int = 0, every_s: int = 900) -> EmbeddedWriter:
    """A writer over a new store that holds these days, nothing of it rolled up or sealed."""
    writer = EmbeddedWriter(folder)
    writer.put_token(EnrolToken(id="t", hash=b"h", region="ams", created_at=0, expires_at=2**62))
    writer.enrol(b"h", Vantage(code="ams", node="n"), b"k", START)
    for day in range(first, first + days):
        dues = range(START + day * DAY, START + (day + 1) * DAY, every_s * NS_PER_S)
        records = [record(1, due, target) for due in dues for target in TARGETS]
        writer.accept(report(records, f"day-{day}"), START + (day + 1) * DAY)
    return writer


def keep_up(writer: EmbeddedWriter, now: Instant) -> None:
    """Upkeep until there is nothing left to do."""
    while writer.maintain(now, 10.0):
        pass


def seen(folder: Path, choice: Choice | None = None, window: Window = EVER) -> list[Round]:
    """Every round that a new reader sees, in the order it sees them."""
    with EmbeddedReader(folder) as reader:
        return [each for page in reader.scan(choice or Choice(), window) for each in page]
