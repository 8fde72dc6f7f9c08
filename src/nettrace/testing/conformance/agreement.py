# ruff: noqa: S101 - asserting is what it is for
"""Does every read of a store give what the oracle gives?"""

from collections.abc import Sequence

import msgspec

from nettrace.model.instant import Instant
from nettrace.model.target import RoundMethod, Series
from nettrace.store.port import QUANTILES, Choice, StoreReader
from nettrace.store.rows import LiveKind, Resolution, Round, Window
from nettrace.testing.conformance.made import HOUR, START
from nettrace.testing.conformance.oracle import Oracle, answered, nearest_rank
from nettrace.wire.frames import Gap, Record

ALL = Window(START - 30 * 24 * HOUR, START + 60 * 24 * HOUR)
ERROR = 0.01
"""How far a quantile may be from the exact one."""


def plain(found: Sequence[Round]) -> list[Round]:
    """Rounds without the ids, which are the engine's own."""
    return [msgspec.structs.replace(each, id="") for each in found]


def agree(reader: StoreReader, oracle: Oracle) -> None:
    """Every read of the store gives what the oracle gives."""
    expected = oracle.within(ALL)
    found = reader.rounds(Choice(), ALL, limit=10_000)
    assert plain(found) == expected
    assert plain(reader.rounds(Choice(), ALL, limit=10_000, newest_first=True)) == expected[::-1]
    assert len({each.id for each in found}) == len(found)
    assert [reader.round(each.id) for each in found[:5]] == found[:5]
    assert reader.series(Choice()) == sorted({each.series for each in expected})
    _agree_pages(reader, expected)
    _agree_columns(reader, found)
    _agree_latest(reader, oracle)
    _agree_live(reader, oracle)
    scanned = [each for page in reader.scan(Choice(), ALL) for each in plain(page)]
    assert scanned == sorted(expected, key=lambda each: (each.due // (24 * HOUR), each.series, each.due))
    assert plain(reader.request_rounds("req_1")) == [each for each in expected if each.request == "req_1"]
    assert sorted(
        ((vantage, entry) for vantage, entry in oracle.log if isinstance(entry, Gap)), key=repr
    ) == sorted(reader.gaps(ALL), key=repr)
    one = Choice(targets=("a.example",), methods=("tcp",), vantages=("ams",))
    assert plain(reader.rounds(one, ALL, limit=100)) == [
        each for each in expected if each.series == Series("ams", "a.example", "rest", RoundMethod.TCP)
    ]
    _agree_traces(reader, oracle)
    for resolution in (Resolution.MINUTE, Resolution.QUARTER, Resolution.HOUR, Resolution.DAY):
        _agree_history(reader, oracle, resolution, None)
    _agree_summary(reader, oracle, None)


def agree_as_of(reader: StoreReader, oracle: Oracle, moment: Instant) -> None:
    """What is asked "as of" a moment knows nothing that came later."""
    expected = oracle.within(ALL, moment)
    assert plain(reader.rounds(Choice(), ALL, limit=10_000, as_of=moment)) == expected
    scanned = [each for page in reader.scan(Choice(), ALL, moment) for each in plain(page)]
    assert sorted(scanned, key=lambda each: (each.due, each.series)) == expected
    _agree_history(reader, oracle, Resolution.HOUR, moment)
    _agree_summary(reader, oracle, moment)


def _agree_pages(reader: StoreReader, expected: list[Round]) -> None:
    for newest_first in (False, True):
        after = None
        walked: list[Round] = []
        while page := reader.rounds(Choice(), ALL, limit=4, newest_first=newest_first, after=after):
            walked += page
            after = (page[-1].due, page[-1].series)
        assert plain(walked) == (expected[::-1] if newest_first else expected)
    if expected:
        middle = expected[len(expected) // 2].due
        window = Window(middle, middle + 1)
        assert plain(reader.rounds(Choice(), window, limit=100)) == [
            each for each in expected if each.due == middle
        ]


def _agree_columns(reader: StoreReader, found: list[Round]) -> None:
    """Columns hold what rounds hold, whichever of them are asked for."""
    for fields in (
        ("rtt_ns",),
        ("id", "outcome", "max_ns", "stages_ns"),
        ("samples_ns", "at", "stored_at", "reason"),
    ):
        columns = reader.raw(Choice(), ALL, fields=fields, limit=10_000)
        for name in ("series", "due", *fields):
            assert getattr(columns, name) == [getattr(each, name) for each in found]
        assert columns.not_measured == []
        pages = [getattr(page, fields[0]) for page in reader.raw_scan(Choice(), ALL, fields=fields)]
        scanned = [getattr(each, fields[0]) for page in reader.scan(Choice(), ALL) for each in page]
        assert [each for page in pages for each in page] == scanned
    for series in {each.series for each in found[:3]}:
        _agree_one(reader, series, [each for each in found if each.series == series])


def _agree_one(reader: StoreReader, series: Series, rounds: list[Round]) -> None:
    """One series' columns, a few at a time, from either end."""
    one = Choice(
        targets=(series.target,), vantages=(series.vantage,), endpoints=(series.endpoint,), methods=(series.method,)
    )  # fmt: skip
    for newest_first in (False, True):
        walked: list[tuple[Instant, int | None, str | None]] = []
        after = None
        while True:
            page = reader.raw(
                one, ALL, fields=("rtt_ns", "address"), limit=4, newest_first=newest_first, after=after
            )
            if not page.due:
                break
            walked += zip(page.due, page.rtt_ns, page.address, strict=True)
            after = (page.due[-1], page.series[-1])
        expected = [(each.due, each.rtt_ns, each.address) for each in rounds]
        assert walked == (expected[::-1] if newest_first else expected)
    if rounds:
        moment = rounds[len(rounds) // 2].stored_at
        known = reader.raw(one, ALL, fields=("rtt_ns",), limit=10_000, as_of=moment)
        assert known.due == [each.due for each in rounds if each.stored_at <= moment]


def _agree_latest(reader: StoreReader, oracle: Oracle) -> None:
    found = reader.latest()
    assert {
        each.round.series: (*plain([each.round]), plain([each.measured])[0] if each.measured else None)
        for each in found
    } == oracle.latest()
    assert len({each.seq for each in found}) == len(found)
    if found:
        newest = max(each.seq for each in found)
        assert newest <= reader.head()
        assert [each.seq for each in reader.latest(after=newest - 1)] == [newest]


def _agree_live(reader: StoreReader, oracle: Oracle) -> None:
    kept = {LiveKind.ROUND, LiveKind.TRACE, LiveKind.MEASUREMENT, LiveKind.GAP}
    page = reader.live(0, 10_000)
    assert page.head == reader.head()
    assert [each.seq for each in page.events] == list(range(page.oldest, page.head + 1))
    told = [each for each in page.events if each.kind in kept]
    wanted = [
        (vantage, None if isinstance(entry, Gap) else entry.target) for vantage, entry in oracle.log
    ]  # the log may have been trimmed at its old end
    assert [(each.vantage, each.target) for each in told] == wanted[len(wanted) - len(told) :]
    resumed = reader.live(page.oldest, 3)
    assert resumed.events == page.events[1:4]


def _agree_traces(reader: StoreReader, oracle: Oracle) -> None:
    records = [
        (entry.due, Series(vantage, entry.target, entry.endpoint, entry.method), entry.measurement)
        for vantage, entry in oracle.log
        if isinstance(entry, Record) and entry.method is RoundMethod.TRACE
    ]
    records.sort(key=lambda each: each[:2], reverse=True)
    found = reader.traces(Choice(), ALL, 1_000)
    assert [(each.due, each.series, each.trace) for each in found] == records


def _agree_history(
    reader: StoreReader, oracle: Oracle, resolution: Resolution, as_of: Instant | None
) -> None:
    expected = oracle.buckets(ALL, resolution, as_of)
    seen: set[tuple[Series, Instant]] = set()
    for columns in reader.history(Choice(), ALL, resolution, QUANTILES, as_of):
        assert columns.start == sorted(columns.start)
        for place, start in enumerate(columns.start):
            rounds = expected[columns.series, start]
            seen.add((columns.series, start))
            values = answered(rounds)
            assert (
                columns.rounds[place], columns.measured[place], columns.failed[place], columns.not_measured[place],
                columns.sent[place], columns.received[place], columns.min_ns[place], columns.max_ns[place],
            ) == (*_counts(rounds), min(values, default=None), max(values, default=None))  # fmt: skip
            assert _close(columns.mean_ns[place], sum(values) / len(values) if values else None, 1e-6)
            for fraction in QUANTILES:
                exact = nearest_rank(values, fraction)
                assert _close(columns.quantiles_ns[f"p{fraction * 100:g}"][place], exact, ERROR)
    assert seen == set(expected)


def _agree_summary(reader: StoreReader, oracle: Oracle, as_of: Instant | None) -> None:
    expected: dict[Series, list[Round]] = {}
    for each in oracle.within(ALL, as_of):
        expected.setdefault(each.series, []).append(each)
    found = {each.series: each for each in reader.summary(Choice(), ALL, QUANTILES, as_of)}
    assert set(found) == set(expected)
    for series, rounds in expected.items():
        made, values = found[series], answered(rounds)
        assert (
            made.rounds, made.measured, made.failed, made.not_measured, made.sent, made.received,
            made.min_ns, made.max_ns,
        ) == (*_counts(rounds), min(values, default=None), max(values, default=None))  # fmt: skip
        for fraction in QUANTILES:
            assert _close(made.quantiles_ns[f"p{fraction * 100:g}"], nearest_rank(values, fraction), ERROR)


def _counts(rounds: Sequence[Round]) -> tuple[int, ...]:
    outcomes = [str(each.outcome) for each in rounds]
    return (
        len(rounds), outcomes.count("measured"), outcomes.count("failed"), outcomes.count("not_measured"),
        sum(each.sent for each in rounds), sum(each.received for each in rounds),
    )  # fmt: skip


def _close(found: int | None, exact: float | None, error: float) -> bool:
    if found is None or exact is None:
        return found is exact
    return abs(found - exact) <= error * exact + 1
