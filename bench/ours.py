"""NetTrace asked for the same work as the rivals, through its command line and its public NDJSON."""

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.capture import ICMP, ICMP6, TCP, UDP
from bench.process import Ran
from bench.rivals import Report, Tool
from nettrace.measure.tracing.flow import flow_for
from nettrace.model.measurement import Method

PROGRAM = os.environ.get("NETTRACE_BENCH_PROGRAM") or str(Path(sys.executable).with_name("nettrace"))
"""The installed command, or another build of it to compare with."""
RESOLUTION_US = 0.05
"""Half of the last digit of the public `_ms` fields (0.1 us)."""


def ping(
    file: Path,
    targets: int,
    rounds: int,
    pps: float,
    *,
    method: str = "icmp",
    more: Sequence[str] = (),
    name: str = "nettrace",
) -> Tool:
    """`nettrace ping` of all targets, `pps` in total."""
    words = [PROGRAM, "ping", "-f", str(file), "-n", str(rounds), "-i", f"{targets / pps:g}"]
    words += ["--rate", f"{pps:g}", "--method", method, "-o", "ndjson", *more]
    return Tool(name, [words], read, parallel=1)


def sweep(
    file: Path, pps: float, method: str = "udp", more: Sequence[str] = (), name: str = "nettrace"
) -> Tool:
    """`nettrace sweep` of all targets at `pps`."""
    words = [PROGRAM, "sweep", "-f", str(file), "--method", method, "--rate", f"{pps:g}", "-o", "ndjson"]
    return Tool(name, [[*words, *more]], read, parallel=1)


def trace(file: Path, pps: float, method: str = "udp", name: str = "nettrace") -> Tool:
    """`nettrace trace` of all targets at `pps`, one probe a hop."""
    words = [PROGRAM, "trace", "-f", str(file), "-q", "1", "--method", method, "--rate", f"{pps:g}"]
    return Tool(name, [[*words, "-o", "ndjson"]], read, parallel=1)


def read(ran: Ran) -> Report:
    """`nettrace.ping/1` and `nettrace.trace/1` documents, one a line."""
    report = Report()
    for line in ran.out.splitlines():
        document = json.loads(line)
        if document["schema"] == "nettrace.ping/1":
            key = (document["address"], 0)
            report.rtts[key] = [_us(value) for value in document["rtt_ms"]]
            report.bars[key] = [_us(value) for value in document.get("error_ms", [])]
            report.taken_back += document.get("not_measured", 0)
        elif document["schema"] == "nettrace.trace/1":
            report.flows[document["address"]] = _flow(document)
            if document["reached"]:
                report.reached.add(document["address"])
            for hop in document["hops"]:
                key = (document["address"], hop["ttl"])
                report.rtts[key] = [_us(value) for value in hop["rtt_ms"]]
                report.bars[key] = [_us(value) for value in hop.get("error_ms", [])]
                report.hops[key] |= {hop["address"], *hop.get("also", [])} - {None}
    return report


def _flow(document: dict[str, Any]) -> tuple[int, int]:
    """Protocol and first four transport bytes of a trace's flow: a pure function of what was traced."""
    method = Method(document["method"])
    flow = flow_for(document["address"], method, document["flow"], document["port"])
    if method is Method.ICMP:
        return (
            (ICMP6, 0x80000000 | flow.icmp_checksum)
            if ":" in document["address"]
            else (ICMP, 0x08000000 | flow.icmp_checksum)
        )
    return (UDP if method is Method.UDP else TCP), flow.source_port << 16 | flow.destination_port


def _us(milliseconds: float | None) -> float | None:
    return None if milliseconds is None else milliseconds * 1000
