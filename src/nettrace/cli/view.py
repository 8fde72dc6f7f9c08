"""How each kind of document looks to a person on a terminal."""

from collections.abc import Sequence
from typing import Any

import click

from nettrace.cli.output import Document, milliseconds, page_width, verdict

WIDE = 120
"""Columns where there is no terminal to ask."""

ADDRESS_WIDTH = 26


def cut(text: object, width: int) -> str:
    """Text cut or padded to a column; what is cut ends in an ellipsis."""
    shown = "-" if text is None else str(text)
    return shown.ljust(width) if len(shown) <= width else shown[: width - 1] + "…"


def _page() -> int:
    return page_width() or WIDE


def _mood(document: Document, line: str) -> str:
    """Colour beside the words, never instead of them: red failed, yellow not measured."""
    colours = {"failed": "red", "not_measured": "yellow"}
    colour = colours.get(document["outcome"])
    return click.style(line, fg=colour) if colour else line


def _row(document: Document, names: Sequence[tuple[object, int]], figures: str) -> list[str]:
    """Names in their columns and the figures; names too long for them stand above, whole."""
    shown = ["-" if name is None else str(name) for name, _ in names]
    room = [width for _, width in names]
    if all(len(text) <= width for text, width in zip(shown, room, strict=True)):
        start = " ".join(text.ljust(width) for text, width in zip(shown, room, strict=True))
        return [_mood(document, f"{start} {figures}".rstrip())]
    blank = " " * (sum(room) + len(room))
    return [_mood(document, "  ".join(shown)), _mood(document, blank + figures)]


class PingView:
    """One line a target; the addresses where there is room for them."""

    fields: Sequence[str] = (
        "target address method outcome reason sent received not_measured min_ms p50_ms p95_ms max_ms clock at rtt_ms"
    ).split()
    _FIGURES = 61

    def _names(self, target: object, address: object) -> list[tuple[object, int]]:
        left = _page() - self._FIGURES - 1
        if left < ADDRESS_WIDTH + 1 + 20:
            return [(target, max(18, left))]
        return [(target, min(32, left - ADDRESS_WIDTH - 1)), (address, ADDRESS_WIDTH)]

    def heading(self) -> str | None:
        """The columns' names."""
        names = " ".join(f"{name!s:<{width}}" for name, width in self._names("TARGET", "ADDRESS"))
        times = "".join(f"{name:>9}" for name in ("min ms", "p50", "p95", "max"))
        return f"{names} {'sent':>5}{'loss':>7}{times}  clock"

    def lines(self, document: Document) -> Sequence[str]:
        """The target's line: its times, or why it has none."""
        sent, received = document["sent"], document["received"]
        loss = f"{100 * (1 - received / sent):.1f}%" if sent else "-"
        words = verdict(document)
        if received:
            times = (milliseconds(document[name], 9) for name in ("min_ms", "p50_ms", "p95_ms", "max_ms"))
            said = f"{''.join(times)}  {document['clock']} {document['method']}" + (
                f"  {words}" if words else ""
            )
        else:
            said = f"  {document['method']} {words}"
        names = self._names(document["target"], document["address"])
        return _row(document, names, f"{sent:>5}{loss:>7}{said}")


class TraceView:
    """A block a target: what was asked, the hops, what came of it."""

    fields: Sequence[str] = (
        "target address method flow outcome reason reached stop rtt_ms path_mtu_bytes clock at hops"
    ).split()

    def heading(self) -> str | None:
        """Blocks need none."""
        return None

    def lines(self, document: Document) -> Sequence[str]:
        """The block."""
        where = f" ({document['address']})" if document["address"] not in (None, document["target"]) else ""
        head = f"{document['target']}{where}  {document['method']} flow {document['flow']}"
        width = max((len(hop["address"] or "") for hop in document["hops"]), default=0)
        return [
            click.style(head, bold=True),
            *(hop_line(hop, width, page_width()) for hop in document["hops"]),
            *_tunnel(document["hops"]),
            *(_balance(balance) for balance in document["balances"]),
            *(_mood(document, line) for line in _end(document)),
        ]


def _tunnel(hops: list[dict[str, Any]]) -> list[str]:
    """Why a router next door may show the time to the far end of a tunnel (RFC 3032, 2.3.2), where one does."""
    inside = [hop["ttl"] for hop in hops if hop["mpls"]]
    if not inside:
        return []
    starts = [ttl for ttl in inside if ttl - 1 not in inside]
    ends = [ttl for ttl in inside if ttl + 1 not in inside]
    rows = ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in zip(starts, ends, strict=True))
    return [f"  hop {rows}: inside a tunnel; such answers go by its end first"]


def _balance(balance: dict[str, Any]) -> str:
    """A load-balanced hop: how many share it, who, and how sure we are that these are all."""
    sure = f"{100 * balance['confidence']:.0f}% sure after {balance['flows_probed']} flows"
    return f"  hop {balance['ttl']} is shared by {len(balance['addresses'])} ({sure}): {' '.join(balance['addresses'])}"


_STOPS = {
    "gap": "not reached: nobody answers behind hop {last}",
    "loop": "not reached: the path runs in a loop",
    "max_ttl": "not reached within {asked} hops",
    "aborted": "not followed to its end",
    "unreachable": "not reached",
}


def _end(document: Document) -> list[str]:
    hops = document["hops"]
    if document["reached"]:
        alias = f"  answered from {document['answered_from']}" if document.get("answered_from") else ""
        physics = against_light(document["rtt_ms"], document.get("floor_ms"), document.get("stretch"))
        short = f"  {physics}" if physics.endswith("floor") else ""
        rtt = milliseconds(document["rtt_ms"], 0)
        said = f"  reached in {len(hops)} {'hop' if len(hops) == 1 else 'hops'}, {rtt} ms{short}{alias}  clock {document['clock']}"
        return [said] if short or not physics else [said, f"  {physics}"]
    last = max((hop["ttl"] for hop in hops if hop["address"]), default=0)
    why = _STOPS.get(document["stop"], "").format(last=last, asked=len(hops)) if hops else ""
    return [f"  {why}; {verdict(document)}" if why else f"  {verdict(document)}"]


def against_light(rtt_ms: float | None, floor_ms: float | None, stretch: float | None) -> str:
    """What light says of a round trip to where the target is said to stand; empty when nothing."""
    if not stretch or floor_ms is None or rtt_ms is None:
        return ""
    if rtt_ms < floor_ms:
        return f"faster than light from that place ({milliseconds(floor_ms, 0)} ms at least): what answered stands elsewhere"
    return f"{stretch:.2f}x the fibre floor"


def hop_line(hop: dict[str, Any], address_width: int = ADDRESS_WIDTH, page: int | None = None) -> str:
    """One hop: TTL, address, round trips, AS, labels, place and name; on a narrow page the name is cut."""
    if hop["address"] is None:
        return f"  {hop['ttl']:>2}  *"
    times = " ".join(milliseconds(rtt, 8) for rtt in hop["rtt_ms"])
    asn = f"AS{hop['asn']}" if hop["asn"] else ""
    place = hop["place"]["name"] if hop["place"] else ""
    mpls = "MPLS " + ",".join(str(label["label"]) for label in hop["mpls"]) if hop["mpls"] else ""
    also = "also " + " ".join(hop["also"]) if hop.get("also") else ""
    words = "  ".join(word for word in (hop.get("annotation") or "", asn, mpls, also, place) if word)
    line = f"  {hop['ttl']:>2}  {hop['address']:<{address_width}} {times}  {words}".rstrip()
    name = hop["name"] or ""
    room = len(name) if page is None else page - len(line) - 2
    if room < min(len(name), 8):
        return line
    return f"{line}  {cut(name, room).rstrip()}".rstrip()


class HttpView:
    """One line a request, the stages side by side; on a narrow page a URL stands above its requests."""

    fields: Sequence[str] = (
        "url address outcome reason status tls_version reused dns_ms connect_ms tls_ms ttfb_ms total_ms clock at"
    ).split()
    _FIGURES = 81
    _LEAST_URL = 24

    def __init__(self) -> None:
        self._above: str | None = None

    def _url_width(self) -> int:
        left = _page() - self._FIGURES
        return min(60, left) if left >= self._LEAST_URL else 0

    def heading(self) -> str | None:
        """The columns' names."""
        stages = "".join(f"{name:>9}" for name in ("dns ms", "connect", "tls", "ttfb", "total"))
        width = self._url_width()
        return f"{'URL' if width else '':<{width}}{'status':>6}{stages}"

    def lines(self, document: Document) -> Sequence[str]:
        """The request's line: its stages, or why it has none."""
        names = ("dns_ms", "connect_ms", "tls_ms", "ttfb_ms", "total_ms")
        kept = document["reused"] and document["outcome"] == "measured"
        words = "kept alive" if kept else verdict(document)
        times = "".join(milliseconds(document[name], 9) for name in names)
        status = f"{document['status'] or '-':>6}"
        tail = f"  {document['tls_version'] or '-':<7} {document['clock'] or '-'}"
        nothing = all(document[name] is None for name in names[1:])
        figures = f"{status}  {words}" if nothing else f"{status}{times}{tail}  {words}".rstrip()
        return self._placed(document, figures)

    def _placed(self, document: Document, figures: str) -> list[str]:
        url: str = document["url"]
        width = self._url_width()
        if width and len(url) < width:
            self._above = None
            return [_mood(document, f"{url:<{width}}{figures}")]
        head = [] if url == self._above else [click.style(url, bold=True)]
        self._above = url
        return [*head, _mood(document, " " * width + figures)]


class WebSocketView:
    """Two lines a connection: its stages, its pings."""

    fields: Sequence[str] = (
        "url address outcome reason status tls_version dns_ms connect_ms tls_ms ttfb_ms sent received min_ms p50_ms p95_ms"
        " max_ms clock at"
    ).split()

    def heading(self) -> str | None:
        """Blocks need none."""
        return None

    def lines(self, document: Document) -> Sequence[str]:
        """The connection's block."""
        stages = "  ".join(
            f"{name} {milliseconds(document[f'{name}_ms'], 0)}" for name in ("dns", "connect", "tls", "ttfb")
        )
        pings = "  ".join(
            f"{name} {milliseconds(document[f'{name}_ms'], 0)}" for name in ("min", "p50", "p95", "max")
        )
        return [
            click.style(document["url"], bold=True),
            f"  stages ms   {stages} (upgrade)",
            _mood(
                document,
                f"  pings ms    {pings}  {document['received']}/{document['sent']} answered  clock"
                f" {document['clock'] or '-'}  {verdict(document)}".rstrip(),
            ),
        ]


class DnsView:
    """One line a question, then its answers."""

    fields: Sequence[str] = "name type server outcome reason rcode rtt_ms clock at".split()

    def heading(self) -> str | None:
        """Blocks need none."""
        return None

    def lines(self, document: Document) -> Sequence[str]:
        """The answer's block."""
        head = f"{document['name']} {document['type']} @{document['server'] or '-'}"
        end = f"  {milliseconds(document['rtt_ms'], 0)} ms  {document['rcode'] or ''}  clock {document['clock'] or '-'}"
        answers = [
            f"  {answer['type']:<6} {answer['data']}  ttl {answer['ttl_s']} s"
            for answer in document["answers"]
        ]
        return [
            click.style(head, bold=True),
            *answers,
            _mood(document, f"{end}  {verdict(document)}".rstrip()),
        ]
