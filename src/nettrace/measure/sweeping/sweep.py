"""Traces of thousands of targets at once at a set packet rate: `nettrace sweep` and its library form."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from nettrace.measure.kernel.raw_sockets import raw_permitted
from nettrace.measure.sweeping.lines import document_line
from nettrace.measure.sweeping.request import SweepRequest
from nettrace.measure.sweeping.run import Ended, Run
from nettrace.measure.sweeping.unprivileged import EngineRun
from nettrace.model.measurement import Outcome
from nettrace.model.path import Trace

_LINES_AT_ONCE = 64


class Tally(NamedTuple):
    """What became of a sweep's targets."""

    measured: int
    failed: int
    not_measured: int


def sweep(targets: Iterable[str], request: SweepRequest) -> Iterator[Trace]:
    """A `Trace` of each target (name or address) as it finishes.

    `targets` is read as rows become free, so it may be endless. Without the right to raw
    sockets the engine's own traces stand in: slower, told alike.
    """
    run = _run(targets, request)
    try:
        for finished in run.steps():
            for each in finished:
                yield each if isinstance(each, Trace) else each.trace()
    finally:
        run.close()


def sweep_ndjson(targets: Iterable[str], request: SweepRequest, write: Callable[[bytes], object]) -> Tally:
    """Writes one `nettrace.trace/1` line a target as each finishes; how many came to what.

    Interrupted, what is under way is written as `aborted` before KeyboardInterrupt goes on.
    """
    run = _run(targets, request)
    pending: list[str] = []
    counts = dict.fromkeys(Outcome, 0)
    finished: deque[Ended | Trace] = deque()

    def tell() -> None:
        while finished:
            each = finished[0]
            line, outcome = (document_line(each), each.outcome) if isinstance(each, Trace) else each.line()
            pending.append(line)
            counts[outcome] += 1
            finished.popleft()

    def flush() -> None:
        if pending:
            lines = "".join(pending).encode()
            pending.clear()  # before: whoever reads a line may interrupt at once, and it is written a single time
            write(lines)

    try:
        for step in run.steps():
            finished.extend(step)
            tell()
            if len(pending) >= _LINES_AT_ONCE or run.resting:
                flush()
    except KeyboardInterrupt:
        tell()
        pending.extend(map(document_line, run.aborted()))
        raise
    finally:
        flush()
        run.close()
    return Tally(counts[Outcome.MEASURED], counts[Outcome.FAILED], counts[Outcome.NOT_MEASURED])


def _run(targets: Iterable[str], request: SweepRequest) -> "Run | EngineRun":
    return Run(targets, request) if request.raw and raw_permitted() else EngineRun(targets, request)
