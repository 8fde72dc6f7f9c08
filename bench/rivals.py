"""The other tools: how each is asked for the same work, and what its output says.

Every reader gives a `Report`: round trips in microseconds by target and TTL (0 for a plain ping) in sending
order, None for "lost", so all tools are judged by one rule. Flags were chosen to show each tool at its best
that still asks for the same packets; they stand in docs/explanation/benchmarks.md.
"""

import json
import re
import shutil
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from bench.capture import UDP
from bench.load import Place
from bench.process import Ran, run_all

SOME_FAILED = 6
"""How `nettrace` ends when some targets did not answer."""

Key = tuple[str, int]
"""Target and TTL; TTL 0 is a plain ping."""


@dataclass
class Report:
    """What a tool said.

    Attributes:
        rtts: microseconds in sending order, None for a probe the tool calls lost.
        hops: the addresses it saw at each target and TTL.
        bars: the error bar it states for each value of `rtts`, in microseconds, where it states any.
        reached: targets it says it reached.
        flows: protocol and first four transport bytes of the flow it says it used for each target.
        taken_back: probes it does not vouch for itself ("not measured" is not "lost").
    """

    rtts: dict[Key, list[float | None]] = field(default_factory=lambda: defaultdict(list))
    hops: dict[Key, set[str]] = field(default_factory=lambda: defaultdict(set))
    bars: dict[Key, list[float | None]] = field(default_factory=lambda: defaultdict(list))
    reached: set[str] = field(default_factory=set)
    flows: dict[str, tuple[int, int]] = field(default_factory=dict)
    taken_back: int = 0


@dataclass(frozen=True)
class Tool:
    """A program asked for one job.

    Attributes:
        commands: what is run; several are run in parallel.
        read: turns what they wrote into a report.
    """

    name: str
    commands: Sequence[Sequence[str]]
    read: Callable[[Ran], Report]
    parallel: int = 32

    def run(self, place: Place, limit_s: float = 120.0) -> tuple[Ran, Report]:
        """Run it and read its output."""
        ran = run_all(self.commands, place, self.parallel, limit_s)
        if ran.code not in {0, SOME_FAILED}:
            last = " ".join(ran.err.strip().splitlines()[-1:])
            print(f"bench: {self.name} ended with {ran.code}: {last[-300:]}", file=sys.stderr)
        return ran, self.read(ran)


@cache
def version(program: str) -> str | None:
    """`fping 5.1` and the like from Debian's records, or None when the program is not there."""
    if shutil.which(program) is None:
        return None
    package = {"mtr": "mtr-tiny"}.get(program, program)
    try:
        said = subprocess.run(
            ["dpkg-query", "-W", "-f", "${Version}", package], capture_output=True, text=True, check=True
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        return program
    return f"{program} {said.split(':')[-1].split('-')[0]}"


def write_targets(path: Path, targets: Sequence[str]) -> Path:
    """A file with one target a line."""
    path.write_text("\n".join(targets) + "\n")
    return path


# ---- ping ----


def fping(file: Path, targets: int, rounds: int, pps: float, name: str = "fping") -> Tool:
    """Fping at `pps`: every target once a round."""
    words = ["fping", "-q", "-r", "0", "-C", str(rounds), "-i", f"{1000 / pps:g}"]
    return Tool(name, [[*words, "-p", f"{targets * 1000 / pps:g}", "-f", str(file)]], read_fping)


def read_fping(ran: Ran) -> Report:
    """`10.0.0.1 : 24.0 24.1 -` on standard error, milliseconds with three significant digits."""
    report = Report()
    for line in ran.err.splitlines():
        address, colon, values = line.partition(" : ")
        if colon:
            report.rtts[(address.strip(), 0)] = [
                None if word == "-" else float(word) * 1000 for word in values.split()
            ]
    return report


def scamper_ping(file: Path, targets: int, rounds: int, pps: float, *, datalink: bool = False) -> Tool:
    """Scamper's ping at `pps`; `datalink` takes its stamps from a packet socket (needs a link layer)."""
    more = "-O dl " if datalink else ""
    job = f"ping {more}-c {rounds} -i {max(0.001, targets / pps):g}"
    words = ["scamper", "-p", f"{pps:.0f}", "-O", "json", "-o", "-", "-c", job]
    return Tool(f"scamper {more}".strip(), [[*words, "-f", str(file)]], read_scamper)


def read_scamper(ran: Ran) -> Report:
    """One JSON object a line: `ping` with responses by sequence, `trace` with hops by TTL."""
    report = Report()
    for line in ran.out.splitlines():
        if '"type":"ping"' in line:
            document = json.loads(line)
            rtts: list[float | None] = [None] * document["ping_sent"]
            for response in document["responses"]:
                rtts[response["seq"]] = response["rtt"] * 1000
            report.rtts[(document["dst"], 0)] = rtts
        elif '"type":"trace"' in line:
            document = json.loads(line)
            if "sport" in document:
                report.flows[document["dst"]] = (UDP, document["sport"] << 16 | document["dport"])
            if document["stop_reason"] == "COMPLETED":
                report.reached.add(document["dst"])
            for hop in document.get("hops", []):
                key = (document["dst"], hop["probe_ttl"])
                report.hops[key].add(hop["addr"])
                report.rtts[key].append(hop["rtt"] * 1000)
    return report


def mtr(targets: Sequence[str], rounds: int, *, udp: bool = False) -> Tool:
    """One mtr for each target, ten rounds a second."""
    words = ["mtr", "-n", "--raw", *(["-u"] if udp else []), "-c", str(rounds), "-i", "0.1", "-G", "1"]
    return Tool("mtr", [[*words, target] for target in targets], _mtr_reader(targets), parallel=len(targets))


def _mtr_reader(targets: Sequence[str]) -> Callable[[Ran], Report]:
    def read(ran: Ran) -> Report:
        report = Report()
        for target, out in zip(targets, ran.outs, strict=True):
            read_mtr(report, target, out)
        return report

    return read


def read_mtr(report: Report, target: str, out: str) -> None:
    """`x HOP SEQ` is sent, `p HOP MICROSECONDS SEQ` answered, `h HOP ADDRESS` who; hops count from 0."""
    place: dict[str, tuple[Key, int]] = {}
    for line in out.splitlines():
        match line.split():
            case ["x", hop, number]:
                key = (target, int(hop) + 1)
                place[number] = (key, len(report.rtts[key]))
                report.rtts[key].append(None)
            case ["p", _, microseconds, number] if number in place:
                key, index = place[number]
                report.rtts[key][index] = float(microseconds)
            case ["h", hop, address]:
                report.hops[(target, int(hop) + 1)].add(address)
            case _:
                pass


# ---- traces ----


def scamper_trace(
    file: Path,
    pps: float,
    method: str = "udp-paris",
    tries: int = 1,
    in_flight: int = 1,
    *,
    datalink: bool = False,
) -> Tool:
    """Scamper's trace; `in_flight` probes of one trace at once (-N), `datalink` as for its ping."""
    more = (f" -N {in_flight}" if in_flight > 1 else "") + (" -O dl" if datalink else "")
    job = f"trace -P {method} -q {tries} -w 1{more}"
    words = ["scamper", "-p", f"{pps:.0f}", "-O", "json", "-o", "-", "-c", job, "-f", str(file)]
    return Tool(f"scamper -p {pps:.0f}{more}", [words], read_scamper, parallel=1)


def traceroute(targets: Sequence[str], *, icmp: bool = False) -> Tool:
    """One traceroute for each target, 16 probes at once, 32 programs in parallel."""
    words = ["traceroute", "-n", *(["-I"] if icmp else []), "-q", "1", "-w", "1", "-N", "16"]
    return Tool("traceroute", [[*words, target] for target in targets], _traceroute_reader(targets))


_TRACEROUTE_HOP = re.compile(r"^\s*(\d+)\s+(?:(\S+)\s+([\d.]+) ms|\*)")


def _traceroute_reader(targets: Sequence[str]) -> Callable[[Ran], Report]:
    def read(ran: Ran) -> Report:
        report = Report()
        for target, out in zip(targets, ran.outs, strict=True):
            read_traceroute(report, target, out)
        return report

    return read


def read_traceroute(report: Report, target: str, out: str) -> None:
    """` 1  11.0.0.1  2.243 ms` or ` 2  *`."""
    for line in out.splitlines():
        found = _TRACEROUTE_HOP.match(line)
        if found:
            key = (target, int(found[1]))
            report.rtts[key].append(float(found[3]) * 1000 if found[3] else None)
            if found[2]:
                report.hops[key].add(found[2])
                if found[2] == target:
                    report.reached.add(target)
