"""A store that cannot be wrong: plain lists and dictionaries, searched from end to end for every answer."""

from collections.abc import Sequence
from math import ceil

import msgspec

from nettrace.model.instant import NS_PER_MS, NS_PER_S, Instant
from nettrace.model.measurement import DnsLookup, HttpExchange, Outcome, Ping, Sample, SampleState
from nettrace.model.path import Trace
from nettrace.model.target import Series
from nettrace.store.rows import STEP_S, Resolution, Round, Window
from nettrace.wire.frames import Gap, Record, Report


class Oracle:
    """Accepts what a store accepts and remembers it.

    Attributes:
        rounds: by (series, due); `id` is empty, it is the engine's own.
        log: every new entry in stored order, with the vantage it came from.
    """

    def __init__(self, vantages: dict[str, str]) -> None:
        self.rounds: dict[tuple[Series, Instant], Round] = {}
        self.log: list[tuple[str, Record | Gap]] = []
        self._vantages = vantages
        self._upto: dict[tuple[str, str], int] = {}

    def accept(self, report: Report, at: Instant) -> tuple[int, list[Record | Gap]]:
        """The number reached, and what was new."""
        key = (report.node, report.epoch)
        upto = self._upto.get(key, 0)
        new: list[Record | Gap] = []
        if report.first_seq > upto + 1:
            return upto, new
        for entry in report.entries:
            last = entry.last_seq if isinstance(entry, Gap) else entry.seq
            if last <= upto:
                continue
            if isinstance(entry, Gap):
                new.append(msgspec.structs.replace(entry, seq=upto + 1))
            else:
                made = expected_round(self._vantages[report.node], entry, at)
                if self.rounds.setdefault((made.series, made.due), made) is made:
                    new.append(entry)
            upto = last
        self._upto[key] = upto
        self.log += [(self._vantages[report.node], entry) for entry in new]
        return upto, new

    def within(self, window: Window, as_of: Instant | None = None) -> list[Round]:
        """The rounds due in a window and known by then, by (due, series)."""
        found = [
            each
            for each in self.rounds.values()
            if window.start <= each.due < window.end and (as_of is None or each.stored_at <= as_of)
        ]
        return sorted(found, key=lambda each: (each.due, each.series))

    def latest(self) -> dict[Series, tuple[Round, Round | None]]:
        """Of each series its newest scheduled round, and the last that measured when the newest did not."""
        made: dict[Series, tuple[Round, Round | None]] = {}
        for each in sorted(self.rounds.values(), key=lambda round_: round_.due):
            if each.request is None:
                last, measured = made.get(each.series, (None, None))
                if last is not None and last.outcome is Outcome.MEASURED:
                    measured = last
                made[each.series] = (each, None if each.outcome is Outcome.MEASURED else measured)
        return made

    def buckets(
        self, window: Window, resolution: Resolution, as_of: Instant | None = None
    ) -> dict[tuple[Series, Instant], list[Round]]:
        """The rounds of each bucket."""
        step = STEP_S[resolution] * NS_PER_S
        made: dict[tuple[Series, Instant], list[Round]] = {}
        for each in self.within(window, as_of):
            made.setdefault((each.series, each.due // step * step), []).append(each)
        return made


def nearest_rank(values: Sequence[int], fraction: float) -> int | None:
    """The smallest value that at least this share of the values does not exceed."""
    return sorted(values)[max(1, ceil(fraction * len(values))) - 1] if values else None


def answered(rounds: Sequence[Round]) -> list[int]:
    """Every answered sample."""
    return [sample for each in rounds for sample in each.samples_ns if sample is not None]


def expected_round(vantage: str, record: Record, at: Instant) -> Round:
    """What a store must make of a record."""
    measured = record.measurement
    samples, silent, shape = _samples(record)
    counted = tuple(sample.rtt_ns for sample in samples if sample.state is not SampleState.NOT_MEASURED)
    silent += len(samples) - len(counted)
    replies = [sample for sample in samples if sample.rtt_ns is not None]
    values = [sample.rtt_ns for sample in replies if sample.rtt_ns is not None]
    made = Round(
        id="", series=Series(vantage, record.target, record.endpoint, record.method), due=record.due,
        at=measured.at // 1000 * 1000, outcome=measured.outcome, reason=measured.reason, address=measured.address,
        sent=len(counted), received=len(values), not_measured=silent, rtt_ns=nearest_rank(values, 0.5),
        min_ns=min(values, default=None), max_ns=max(values, default=None),
        error_ns=max((sample.error_ns for sample in replies if sample.error_ns is not None), default=None),
        grade=max((sample.grade for sample in replies if sample.grade is not None), key="KRU".index, default=None),
        samples_ns=counted, clock=getattr(measured, "clock", None), request=record.request,
        stored_at=at // NS_PER_MS * NS_PER_MS,
    )  # fmt: skip
    return msgspec.structs.replace(made, **shape)


def _samples(record: Record) -> tuple[Sequence[Sample], int, dict[str, object]]:
    match record.measurement:
        case Ping(samples=samples):
            return samples, 0, {}
        case DnsLookup(sample=sample):
            return (sample,) if sample else (), 0, {}
        case HttpExchange() as web:
            stages = {name: getattr(web.stages, name) for name in ("dns", "connect", "tls", "ttfb")}
            took = {name: stage.duration_ns for name, stage in stages.items() if stage}
            if web.stages.total_ns is not None:
                took["total"] = web.stages.total_ns
            shape: dict[str, object] = {
                "stages_ns": took,
                "status": web.status,
                "tls_version": web.tls_version,
                "server_hints": web.server_hints,
            }
            first = web.stages.ttfb
            if first:
                return (_sample(first.duration_ns, first.error_ns, first.grade),), 0, shape
            unknown = web.outcome is Outcome.NOT_MEASURED
            return () if unknown else (Sample(state=SampleState.LOST),), int(unknown), shape
        case Trace(reached=True, hops=hops, rtt_ns=rtt):
            last = hops[-1].samples[0]
            return (_sample(rtt, last.error_ns, last.grade),), 0, {"hop_count": hops[-1].ttl}
        case _:
            return (), 0, {}


def _sample(rtt_ns: int | None, error_ns: int | None, grade: object) -> Sample:
    return msgspec.convert(
        {"state": "answered", "rtt_ns": rtt_ns, "error_ns": error_ns, "grade": grade}, Sample
    )
