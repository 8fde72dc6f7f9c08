"""`nettrace signals`: detectors over recorded series, and what each of them promises."""

from collections.abc import Sequence
from typing import TextIO

import click

from nettrace.cli.output import FORMATS, Document, Emitter, milliseconds, note

_COLOURS = {"info": "white", "notice": "cyan", "warning": "yellow", "critical": "red"}


@click.group("signals")
def command() -> None:
    """Find shifts, spikes, trends, loss and divergence in RTT series."""


@command.command("replay")
@click.argument("file", type=click.File(encoding="utf-8"), metavar="FILE.csv")
@click.option(
    "--detector", "names", multiple=True, metavar="NAME", help="Only this one; may be repeated. See `list`."
)
@click.option(
    "--interval",
    "interval_s",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="Between samples; learnt when not given.",
)
@click.option(
    "--against",
    "other",
    type=click.File(encoding="utf-8"),
    metavar="OTHER.csv",
    help="A second series that this one may diverge from.",
)
@click.option(
    "--tier",
    type=click.Choice(["tentative", "confirmed", "all"]),
    default="tentative",
    show_default=True,
    help="Each event when first proven, when confirmed, or with all that becomes of it.",
)
@click.option(
    "-o", "--output", type=click.Choice(FORMATS), help="Default: table on a terminal, ndjson in a pipe."
)
def replay_file(
    file: TextIO,
    names: Sequence[str],
    interval_s: float | None,
    other: TextIO | None,
    tier: str,
    output: str | None,
) -> None:
    """Stream the rows of FILE.csv ("-" is stdin) through the detectors, in order and without looking ahead.

    A row is t,rtt_ms: t in Unix seconds or RFC 3339; an RTT that is empty, nan or not above 0 is a lost probe. A time
    without a row was not measured. Every event is said once, as soon as its proof has been read; "at" is when it is
    estimated to have happened, "detected_at" the time of the sample that proved it.
    """
    from nettrace.analysis.signals.catalogue import DEFAULT, detector
    from nettrace.analysis.signals.document import signal_document
    from nettrace.analysis.signals.replay import Show, read_rows, replay
    from nettrace.model.instant import NS_PER_S
    from nettrace.runtime.named_file import lines_of

    interval_ns = None if interval_s is None else max(1, round(interval_s * NS_PER_S))
    detectors = [detector(name, interval_ns) for name in dict.fromkeys(names or DEFAULT)]
    emitter = Emitter(output, _SignalView())
    late: list[int] = []
    beside = read_rows(lines_of(other, other.name)) if other else ()
    for signal in replay(read_rows(lines_of(file, file.name), late.append), detectors, Show(tier), beside):
        emitter.emit(signal_document(signal))
    emitter.close()
    if late:
        note(f"nettrace: {len(late)} rows came late and were passed over, the first in line {late[0]}")


@command.command("forecast")
@click.argument("file", type=click.File(encoding="utf-8"), metavar="FILE.csv")
@click.option(
    "-o", "--output", type=click.Choice(FORMATS), help="Default: table on a terminal, ndjson in a pipe."
)
def forecast(file: TextIO, output: str | None) -> None:
    """An 80 % band for the RTT 1 to 24 hours after the last row of FILE.csv ("-" is stdin), or why there is none.

    It is given only if, on the second half of this very series, it has beaten both the last value and the value a day
    before. Rows are those of `replay`. "card" holds what was tried on how many days, its losses beside the naive ones, and
    how much of what came the band held; "instability" is the chance that the next hour is worse than the day, judged alike.
    """
    from nettrace.analysis.forecast.degradation import instability
    from nettrace.analysis.forecast.document import forecast_document
    from nettrace.analysis.forecast.offer import offer
    from nettrace.analysis.forecast.quarter import quarters
    from nettrace.analysis.signals.replay import read_rows
    from nettrace.runtime.named_file import lines_of

    series = quarters(read_rows(lines_of(file, file.name)))
    emitter = Emitter(output, _ForecastView())
    emitter.emit(forecast_document(offer(series), instability(series)))
    emitter.close()


@command.command("list")
@click.option(
    "-o", "--output", type=click.Choice(FORMATS), help="Default: table on a terminal, ndjson in a pipe."
)
def list_detectors(output: str | None) -> None:
    """The detectors, what their signals mean, and how often each speaks while nothing happens."""
    from nettrace.analysis.signals.catalogue import CATALOGUE

    emitter = Emitter(output, _DetectorView())
    for entry in CATALOGUE.values():
        emitter.emit(
            {
                "schema": "nettrace.detector/1",
                "name": entry.name,
                "kind": entry.kind,
                "meaning": entry.meaning,
                "false_a_week": entry.stated,
                "preset": entry.preset,
            }
        )
    emitter.close()


@command.command("record")
@click.option("--data", type=click.Path(file_okay=False), help="The hub's data folder.")
@click.option("--days", type=click.IntRange(min=1), help="The newest so many days. Default: all.")
@click.option(
    "-o", "--output", type=click.Choice(FORMATS), help="Default: table on a terminal, ndjson in a pipe."
)
def record(data: str | None, days: int | None, output: str | None) -> None:
    """How each detector has done in this hub: looked how often, spoke how often, right how often.

    "looked" is how many rounds or traces it judged, most of them null results; "hit rate" is confirmed statements of those
    that were confirmed or taken back. Beside it what the catalogue states for series in which nothing happens.
    """
    from pathlib import Path

    import msgspec

    from nettrace.hub.open import folder_of, open_reader
    from nettrace.hub.tally import PREFIX, track_record

    reader = open_reader(folder_of(Path(data) if data else None))
    try:
        found = track_record(reader.detector_state(PREFIX), days)
    finally:
        reader.close()
    emitter = Emitter(output, _RecordView())
    for each in found:
        emitter.emit({"schema": "nettrace.detector_record/1", **msgspec.to_builtins(each)})
    emitter.close()


class _ForecastView:
    """The band, or why there is none; then what it was judged by."""

    fields = ("offered", "because", "points", "instability", "card")

    def heading(self) -> str | None:
        """None: a forecast is not a row."""
        return None

    def lines(self, document: Document) -> Sequence[str]:
        """A line a horizon, a line a baseline."""
        card, unrest = document["card"], document["instability"]
        made = [] if document["offered"] else [f"not offered, because {document['because']}"]
        made += [
            f"+{each['hours']:>2g} h  {each['low_ms']:.2f} to {each['high_ms']:.2f} ms, most likely {each['middle_ms']:.2f}"
            for each in document["points"]
        ]
        if card["loss"] is not None:
            made.append(
                f"{card['held_out_days']} days held out: loss {card['loss']:.3f} ms, the 80 % band held {card['coverage']:.0%}"
            )
        made += [
            f"  beside {each['name']}: loss {each['loss']:.3f} ms, saved {each['skill']:.1%}"
            for each in card["baselines"]
        ]
        if unrest["offered"]:
            chance = unrest["chance"]
            now = "the newest hour is" if chance is None else f"chance {chance:.1%} that the next hour is"
            return [*made, f"instability: {now} worse than the day"]
        return [*made, f"instability: not offered, because {unrest['because']}"]


class _RecordView:
    """A name and how it has done."""

    fields = (
        "detector", "days", "looked", "said", "confirmed", "taken_back", "hit_rate", "said_a_week", "stated",
    )  # fmt: skip

    def heading(self) -> str | None:
        """What the columns are."""
        return click.style(
            f"{'detector':<20} {'looked':>12} {'said':>7} {'confirmed':>9} {'taken back':>10} {'hit rate':>8} {'a week':>8} {'stated':>7}",
            bold=True,
        )

    def lines(self, document: Document) -> Sequence[str]:
        """One line a detector."""
        rate, weekly, stated = (document[name] for name in ("hit_rate", "said_a_week", "stated"))
        cells = [
            "-" if rate is None else f"{rate:.2f}", "-" if weekly is None else f"{weekly:.3g}",
            "-" if stated is None else f"{stated:g}",
        ]  # fmt: skip
        return [
            f"{document['detector']:<20} {document['looked']:>12,} {document['said']:>7,} {document['confirmed']:>9,}"
            f" {document['taken_back']:>10,} {cells[0]:>8} {cells[1]:>8} {cells[2]:>7}"
        ]


class _SignalView:
    """When, what, from where to where, and how sure."""

    fields = (
        "kind", "at", "detected_at", "direction", "severity", "confidence", "from_ms", "to_ms", "from_loss", "to_loss",
        "tier", "detector",
    )  # fmt: skip

    def heading(self) -> str | None:
        """What the columns are."""
        return click.style(
            "at (UTC)             kind        severity  from ms -> to ms        sure  tier", bold=True
        )

    def lines(self, document: Document) -> Sequence[str]:
        """One line an event."""
        from nettrace.model.instant import NS_PER_S, rfc3339

        severity: str = document["severity"]
        when = rfc3339(round(document["at"] * NS_PER_S))[:19].replace("T", " ")
        if document["to_loss"] is not None:
            step = f"{document['from_loss']:9.1%} -> {document['to_loss']:<9.1%}"
        else:
            step = f"{milliseconds(document['from_ms'])} -> {milliseconds(document['to_ms'], 0):<9}"
        said = click.style(f"{severity:<8}", fg=_COLOURS[severity])
        return [
            f"{when}  {document['kind']:<10}  {said}  {step}  {document['confidence']:5.2f}  {document['tier']}"
        ]


class _DetectorView:
    """A name and what it promises."""

    fields = ("name", "kind", "meaning", "false_a_week", "preset")

    def heading(self) -> str | None:
        """What the columns are."""
        return click.style(
            f"{'name':<16} {'kind':<11} {'says':<38} while nothing happens, every 4 min", bold=True
        )

    def lines(self, document: Document) -> Sequence[str]:
        """One line a detector."""
        return [
            f"{document['name']:<16} {document['kind']:<11} {document['meaning']:<38} at most {document['false_a_week']:g} a week"
        ]
