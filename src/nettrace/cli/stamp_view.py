"""How a STAMP session looks to a person: the round trip, and each way in a line of its own."""

from collections.abc import Sequence

from nettrace.cli.output import Document, milliseconds, verdict


class StampView:
    """Three lines a session."""

    fields: Sequence[str] = (
        "target address port outcome reason authenticated sent received min_ms p50_ms p95_ms max_ms clock at rtt_ms"
    ).split()

    def heading(self) -> str | None:
        """The columns' names."""
        times = "".join(f"{name:>9}" for name in ("min ms", "p50", "max", "+-"))
        return f"{'WAY':<28} {'sent':>5}{'lost':>5}{'late':>5}{times}"

    def lines(self, document: Document) -> Sequence[str]:
        """The session's lines."""
        words = verdict(document)
        if document["outcome"] != "measured":
            return [f"{document['target']}  {words}"]
        bars = [bar for bar in document["error_ms"] if bar is not None]
        figures = [document["min_ms"], document["p50_ms"], document["max_ms"], max(bars, default=None)]
        lost = document["sent"] - document["received"]
        sealed = "sealed" if document["authenticated"] else "not sealed"
        lines = [
            _line(f"{document['target']} and back", document["sent"], lost, None, figures)
            + f"  {sealed}  {words}".rstrip()
        ]
        for name, label in (("out", "  there"), ("back", "  from there")):
            way = document[name]
            hops = "" if way["hops"] is None else f"  {way['hops']} hops"
            if way["resolvable"]:
                figures = [way["min_ms"], way["delay_ms"], way["max_ms"], way["error_ms"]]
                lines.append(_line(label, way["sent"], way["lost"], way["reordered"], figures) + hops)
            else:
                line = _line(label, way["sent"], way["lost"], way["reordered"], ())
                lines.append(f"{line}  not resolvable: {way['why']}{hops}")
        return lines


def _line(name: str, sent: int, lost: int | None, late: int | None, figures: Sequence[float | None]) -> str:
    counts = "".join(f"{'-' if each is None else each:>5}" for each in (lost, late))
    return f"{name:<28} {sent:>5}{counts}{''.join(milliseconds(each, 9) for each in figures)}"
