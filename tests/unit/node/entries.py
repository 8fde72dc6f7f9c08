"""Records for the spool's tests."""

from nettrace.model.instant import NS_PER_S
from nettrace.model.measurement import Method, Outcome, Ping
from nettrace.model.target import RoundMethod
from nettrace.wire.frames import Record

START = 1_767_225_600 * NS_PER_S


def record(number: int, *, words: int = 20) -> Record:
    """Record number N: due N seconds after the start, and so many letters long."""
    due = START + number * NS_PER_S
    made = Ping(
        target="t.example",
        address=None,
        at=due,
        outcome=Outcome.MEASURED,
        detail="x" * words,
        method=Method.TCP,
    )
    return Record(
        seq=0, target="t.example", endpoint="rest", method=RoundMethod.TCP, due=due, measurement=made
    )


def number_of(entry: Record) -> int:
    """Which one it is."""
    return (entry.due - START) // NS_PER_S
