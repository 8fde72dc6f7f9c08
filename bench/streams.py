"""Scenario "streams": TCP connect, TLS and first byte of HTTPS requests, against the wire.

One request after the other starts at a steady rate, each to an address of its own (so that every reported time
finds its connection), to a real kernel and nginx 10 ms away in each direction.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path

from bench.bridge import Bridge
from bench.capture import Capture, exchanges, stages
from bench.emulator import scratch
from bench.figure import Column, Table, nearest_rank
from bench.load import BURNERS, IDLE, QUOTA, under
from bench.process import Ran
from bench.process import run as run_program

LOADS = (IDLE, BURNERS, QUOTA)
RATES = {IDLE: 100.0, BURNERS: 100.0, QUOTA: 20.0}
STAGES = ("connect", "tls", "first byte")

Timings = dict[str, dict[str, tuple[float, float | None]]]
"""By address and stage: reported microseconds, and the error bar stated for it."""


def run(runs: int, quick: bool) -> list[Table]:
    """Errors of every stage under every load."""
    loads = (BURNERS,) if quick else LOADS
    tables = [
        Table(
            f"HTTPS: {RATES[load]:.0f} requests/s, {load}",
            [
                Column("connect p50", "us"),
                Column("connect p99", "us", goal=30.0),
                Column("tls p50", "us"),
                Column("tls p99", "us", goal=10.0),
                Column("first byte p50", "us"),
                Column("first byte p99", "us", goal=5.0),
                Column("bar holds", "%", goal=99.9, at_least=True),
                Column("CPU/request", "ms"),
                Column("measured", "requests"),
            ],
            "|reported - true| by AF_PACKET stamps: SYN..SYN-ACK, hello..last handshake segment, request..answer",
        )
        for load in loads
    ]
    count = 100 if quick else 300
    urls = [f"https://10.211.{number >> 8}.{number & 255}/" for number in range(1, count + 1)]
    with scratch() as folder:
        file = folder / "urls"
        for _ in range(runs):
            for load, table in zip(loads, tables, strict=True):
                asked = urls[: max(60, int(len(urls) * RATES[load] / 100))]
                file.write_text("\n".join(asked))
                for name, program, read, ordinary in (
                    ("nettrace", "bench.https_client", read_ours, False),
                    ("nettrace (no root)", "bench.https_client", read_ours, True),
                    ("libcurl", "bench.libcurl_client", read_libcurl, False),
                ):
                    _measure(table, name, program, read, load, ordinary, file)
    return tables


def read_ours(ran: Ran) -> Timings:
    """`nettrace.http/1` documents."""
    found: Timings = {}
    for line in ran.out.splitlines():
        document = json.loads(line)
        if document["outcome"] == "measured":
            found[document["address"]] = {
                stage: (document[f"{name}_ms"] * 1000, _times(document["error_ms"][name]))
                for stage, name in (("connect", "connect"), ("tls", "tls"), ("first byte", "ttfb"))
                if document[f"{name}_ms"] is not None
            }
    return found


def read_libcurl(ran: Ran) -> Timings:
    """What bench/libcurl_client.py prints."""
    found: Timings = {}
    for line in ran.out.splitlines():
        said = json.loads(line)
        if said["ok"]:
            address = said["url"].split("/")[2]
            found[address] = {stage: (float(said[f"{stage.replace(' ', '_')}_us"]), None) for stage in STAGES}
    return found


def _times(milliseconds: float | None) -> float | None:
    return None if milliseconds is None else milliseconds * 1000


def _measure(
    table: Table,
    name: str,
    program: str,
    read: Callable[[Ran], Timings],
    load: str,
    ordinary: bool,
    file: Path,
) -> None:
    with (
        Bridge() as bridge,
        under(load, ordinary=ordinary) as place,
        Capture(bridge.device, segments=True) as capture,
    ):
        ran = run_program([sys.executable, "-m", program, f"{RATES[load]:g}", str(file)], place, limit_s=90)
    if ran.code:
        print(f"bench: {name} ended with {ran.code}: {ran.err.strip()[-300:]}", file=sys.stderr)
    said = read(ran)
    errors: dict[str, list[float]] = {stage: [] for stage in STAGES}
    bars = outside = 0
    for exchange in exchanges(capture.packets):
        true = stages(exchange)
        for stage, ns in (("connect", true.connect), ("tls", true.tls), ("first byte", true.first_byte)):
            reported = said.get(exchange.target, {}).get(stage)
            if reported is None or ns is None:
                continue
            error = abs(reported[0] - ns / 1000)
            errors[stage].append(error)
            if reported[1] is not None:
                bars += 1
                outside += error > reported[1] + 0.05
    values: dict[str, float | None] = {
        f"{stage} {label}": nearest_rank(errors[stage], fraction)
        for stage in STAGES
        for label, fraction in (("p50", 0.5), ("p99", 0.99))
    }
    values["bar holds"] = 100 * (1 - outside / bars) if bars else None
    values["CPU/request"] = 1000 * ran.cpu_s / max(1, len(said))
    values["measured"] = float(len(said))
    table.add(name, values)
