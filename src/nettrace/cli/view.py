"""How each kind of document looks to a person on a terminal."""

from collections.abc import Sequence
from typing import Any

import click

from nettrace.cli.output import Document, milliseconds, verdict

NAME_WIDTH = 32
ADDRESS_WIDTH = 26


def _name(text: object, width: int = NAME_WIDTH) -> str:
    """Text cut or padded to a column; what is cut ends in an ellipsis."""
    shown = "-" if text is None else str(text)
    return shown.ljust(width) if len(shown) <= width else shown[: width - 1] + "…"


def _mood(document: Document, line: str) -> str:
    """Colour beside the words, never instead of them: red failed, yellow not measured."""
    colours = {"failed": "red", "not_measured": "yellow"}
    colour = colours.get(document["outcome"])
    return click.style(line, fg=colour) if colour else line


class PingView:
    """One line a target."""

    fields: Sequence[str] = (
        "target address method outcome reason sent received not_measured min_ms p50_ms p95_ms max_ms clock at rtt_ms"
    ).split()

    def heading(self) -> str | None:
        """The columns' names."""
        names = f"{'sent':>5}{'loss':>7}{'min ms':>10}{'p50 ms':>10}{'p95 ms':>10}{'max ms':>10}"
        return f"{'TARGET':<{NAME_WIDTH}} {'ADDRESS':<{ADDRESS_WIDTH}}{names}  clock"

    def lines(self, document: Document) -> Sequence[str]:
        """The target's line."""
        sent, received = document["sent"], document["received"]
        loss = f"{100 * (1 - received / sent):.1f}%" if sent else "-"
        times = "".join(
            milliseconds(document[field], 10) for field in ("min_ms", "p50_ms", "p95_ms", "max_ms")
        )
        start = f"{_name(document['target'])} {_name(document['address'], ADDRESS_WIDTH)}{sent:>5}{loss:>7}{times}"
        words = verdict(document)
        tail = f"  {document['clock'] or '-'} {document['method']}" + (f"  {words}" if words else "")
        return [_mood(document, start + tail)]


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
        return [
            click.style(head, bold=True),
            *(hop_line(hop) for hop in document["hops"]),
            *(_balance(balance) for balance in document["balances"]),
            _mood(document, _end(document)),
        ]


def _balance(balance: dict[str, Any]) -> str:
    """A load-balanced hop: how many share it, who, and how sure we are that these are all."""
    sure = f"{100 * balance['confidence']:.0f}% sure after {balance['flows_probed']} flows"
    return f"  hop {balance['ttl']} is shared by {len(balance['addresses'])} ({sure}): {' '.join(balance['addresses'])}"


def _end(document: Document) -> str:
    if document["reached"]:
        rtt = milliseconds(document["rtt_ms"], 0)
        more = _physics(document)
        alias = f"  answered from {document['answered_from']}" if document.get("answered_from") else ""
        return f"  reached in {len(document['hops'])} hops, {rtt} ms{more}{alias}  clock {document['clock']}"
    return f"  not reached ({document['stop']})  {verdict(document)}"


def _physics(document: Document) -> str:
    """What light says of the round trip to where the target is said to stand."""
    stretch, floor_ms = document.get("stretch"), document.get("floor_ms")
    if not stretch or floor_ms is None:
        return ""
    if document["rtt_ms"] < floor_ms:
        return f"  faster than light from that place ({milliseconds(floor_ms, 0)} ms at least): what answered stands elsewhere"
    return f"  {stretch:.2f}x the fibre floor"


def hop_line(hop: dict[str, Any]) -> str:
    """One hop: TTL, address, round trips, AS, place, labels."""
    if hop["address"] is None:
        return f"  {hop['ttl']:>2}  *"
    times = " ".join(milliseconds(rtt, 8) for rtt in hop["rtt_ms"])
    asn = f"AS{hop['asn']}" if hop["asn"] else ""
    place = hop["place"]["name"] if hop["place"] else ""
    mpls = "MPLS " + ",".join(str(label["label"]) for label in hop["mpls"]) if hop["mpls"] else ""
    also = "also " + " ".join(hop["also"]) if hop.get("also") else ""
    name = hop["name"] or ""
    words = "  ".join(word for word in (hop.get("annotation") or "", asn, place, mpls, also, name) if word)
    return f"  {hop['ttl']:>2}  {_name(hop['address'], ADDRESS_WIDTH)} {times}  {words}".rstrip()


class HttpView:
    """One line a request: the stages side by side."""

    fields: Sequence[str] = (
        "url address outcome reason status tls_version reused dns_ms connect_ms tls_ms ttfb_ms total_ms clock at"
    ).split()

    def heading(self) -> str | None:
        """The columns' names."""
        stages = "".join(f"{name:>10}" for name in ("dns ms", "connect", "tls", "ttfb", "total"))
        return f"{'URL':<44} {'status':>6}{stages}  {'tls':<8} clock"

    def lines(self, document: Document) -> Sequence[str]:
        """The request's line."""
        names = ("dns_ms", "connect_ms", "tls_ms", "ttfb_ms", "total_ms")
        times = "".join(milliseconds(document[name], 10) for name in names)
        start = f"{_name(document['url'], 44)} {document['status'] or '-':>6}{times}"
        words = (
            "kept alive" if document["reused"] and document["outcome"] == "measured" else verdict(document)
        )
        return [
            _mood(
                document,
                f"{start}  {document['tls_version'] or '-':<8} {document['clock'] or '-'}  {words}".rstrip(),
            )
        ]


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
