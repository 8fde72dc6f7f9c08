"""The demo's work: measure from every vantage with the engine, hold each result against the truth.

The engine runs as its users run it: the `nettrace` command, in the vantage's namespace, printing its public
documents. Nothing here computes a result; it only compares.
"""

import json
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from ipaddress import ip_address
from queue import SimpleQueue
from typing import Any

from nettrace.errors import LabError
from nettrace.lab.session import RunningLab
from nettrace.lab.truth import Oracle, TruePath
from nettrace.lab.world import Event
from nettrace.measure.tracing.flow import flow_for
from nettrace.model.measurement import Method

TOLERANCE_MS = 1.0
"""Measured minus true round trip that still counts as right: the lab's delivery plus one stack's handling."""

FIRST_BYTE_TOLERANCE_MS = 25.0
"""The same for an HTTP answer's first byte: it also waits for a server and a client that share this machine."""

_PING = ("ping", "-4", "-n", "5", "-i", "0.2", "--timeout", "2", "-o", "ndjson")
_TRACE = ("trace", "-4", "--method", "udp", "--timeout", "2", "-o", "ndjson")
_HTTP = ("http", "-4", "--timeout", "10", "-o", "ndjson")


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One measured pair beside its truth.

    Attributes:
        rtt_ms: smallest measured round trip, None when nothing came back.
        hops: routers that answered; `wrong` of them were not those of the truth for this flow.
        stretch: measured over the light-in-fibre floor of the great circle.
        way: the sites whose routers answered.
        verdict: begins with `ok`, or says what is not.
    """

    kind: str
    vantage: str
    target: str
    label: str
    rtt_ms: float | None
    true_ms: float
    floor_ms: float
    stretch: float | None
    verdict: str
    hops: int | None = None
    wrong: int | None = None
    first_byte_ms: float | None = None
    true_first_byte_ms: float | None = None
    way: tuple[str, ...] = ()

    @property
    def right(self) -> bool:
        """True when it agrees with the truth."""
        return self.verdict.startswith("ok")


@dataclass(frozen=True)
class Failure:
    """A command that gave no documents."""

    vantage: str
    words: str


class Demo:
    """Measures a running lab; each method yields findings as they come."""

    def __init__(self, lab: RunningLab, targets: Sequence[str]) -> None:
        self.lab = lab
        self.oracle = lab.oracle()
        self.vantages = list(self.oracle.topology.vantages)
        self.targets = [name for name in targets if name in self.oracle.topology.targets]

    def refresh(self) -> None:
        """Take the truth anew, after an event."""
        self.oracle = self.lab.oracle()

    def pings(self) -> Iterator[Finding | Failure]:
        """Round trips from every vantage to every target."""
        return self._everywhere(lambda vantage: self._documents(vantage, _PING, self.targets), self._ping)

    def traces(self, pairs: Iterable[tuple[str, str]]) -> Iterator[Finding | Failure]:
        """Paths of some pairs."""
        wanted: dict[str, list[str]] = {}
        for vantage, target in pairs:
            wanted.setdefault(vantage, []).append(target)
        return self._everywhere(
            lambda vantage: self._documents(vantage, _TRACE, wanted[vantage]), self._trace, list(wanted)
        )

    def exchanges(self, targets: Sequence[str]) -> Iterator[Finding | Failure]:
        """HTTPS to some targets from every vantage."""
        urls = [f"https://{name}/" for name in targets]
        return self._everywhere(lambda vantage: self._documents(vantage, _HTTP, urls), self._http)

    def happen(self, event: Event) -> None:
        """Let an event happen and take the truth anew."""
        self.lab.happen(event)
        self.refresh()

    def telling_cable(self) -> tuple[str, list[tuple[str, str]]]:
        """The cable that carries most of the demo's pairs of those no pair is cut off without, and its pairs.

        Raises:
            LabError: no pair crosses a cable the world can do without.
        """
        users: dict[str, list[tuple[str, str]]] = {}
        for vantage in self.vantages:
            for target in self.targets:
                for cable in self._true(self.oracle, vantage, target).cables:
                    users.setdefault(cable, []).append((vantage, target))
        for cable in sorted(users, key=lambda code: (-len(users[code]), code)):
            without = Oracle(self.oracle.world, self.lab.conditions().after(Event(kind="cut", subject=cable)))
            if all(self._true(without, *pair).reaches for pair in users[cable]):
                return cable, users[cable]
        raise LabError("this world can do without none of its cables")

    def _true(self, oracle: Oracle, vantage: str, target: str) -> TruePath:
        address = oracle.pair(vantage, target)["address"]
        return oracle.path(vantage, target, flow_for(address, Method.UDP))

    def _everywhere(
        self,
        measure: Callable[[str], Iterator[dict[str, Any]]],
        judge: Callable[[str, dict[str, Any]], Finding],
        vantages: list[str] | None = None,
    ) -> Iterator[Finding | Failure]:
        """Run at all vantages side by side; findings in the order they arrive."""
        queue: SimpleQueue[Finding | Failure | None] = SimpleQueue()
        places = vantages if vantages is not None else self.vantages

        def work(vantage: str) -> None:
            try:
                for document in measure(vantage):
                    queue.put(judge(vantage, document))
            except LabError as error:
                queue.put(Failure(vantage, str(error)))
            finally:
                queue.put(None)

        with ThreadPoolExecutor(max_workers=4) as pool:
            for vantage in places:
                pool.submit(work, vantage)
            open_ = len(places)
            while open_:
                found = queue.get()
                if found is None:
                    open_ -= 1
                else:
                    yield found

    def _documents(
        self, vantage: str, command: Sequence[str], hosts: Sequence[str]
    ) -> Iterator[dict[str, Any]]:
        words = [*self.lab.prefix(vantage), sys.executable, "-m", "nettrace", *command, *hosts]
        with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            count = 0
            for line in process.stdout or ():
                count += 1
                yield json.loads(line)
            if not count:
                said = process.stderr.read().strip() if process.stderr else ""
                raise LabError(said.splitlines()[-1] if said else f"nettrace {command[0]} said nothing")

    def _ping(self, vantage: str, document: dict[str, Any]) -> Finding:
        return self._finding("ping", vantage, document["target"], document["min_ms"], document)

    def _trace(self, vantage: str, document: dict[str, Any]) -> Finding:
        target = document["target"]
        method = Method(document["method"])
        flow = flow_for(document["address"], method, document["flow"], document.get("port"))
        right, wrong = compare(document, self.oracle.path(vantage, target, flow))
        found = self._finding("trace", vantage, target, document["rtt_ms"], document, right + wrong, wrong)
        return replace(found, way=self._way(document))

    def _way(self, document: dict[str, Any]) -> tuple[str, ...]:
        """The sites a trace document passes, each once."""
        owners = self.oracle.topology.owners
        passed = [owners.get(ip_address(hop["address"]).packed) for hop in document["hops"] if hop["address"]]
        sites = [router.group.site.code for router in passed if router]
        return tuple(site for index, site in enumerate(sites) if not index or site != sites[index - 1])

    def _http(self, vantage: str, document: dict[str, Any]) -> Finding:
        target = document["url"].removeprefix("https://").split("/")[0]
        true = self.oracle.pair(vantage, target)
        true_ms = true["rtt_ms"] + (true["first_byte_wait_ms"] or 0.0)
        found = self._finding("http", vantage, target, document["connect_ms"], document)
        first = found.first_byte_ms
        if (
            found.verdict == "ok"
            and first is not None
            and not -0.2 <= first - true_ms <= FIRST_BYTE_TOLERANCE_MS
        ):
            found = replace(found, verdict=f"first byte off by {first - true_ms:+.1f} ms")
        return replace(found, true_first_byte_ms=true_ms)

    def _verdict(self, rtt_ms: float | None, true_ms: float | None, wrong: int | None) -> str:
        if wrong:
            return f"{wrong} false hop{'s' if wrong > 1 else ''}"
        if true_ms is None:
            return "ok" if rtt_ms is None else "an answer from where there is no way"
        if rtt_ms is None:
            return "no answer"
        off = rtt_ms - true_ms
        if -0.1 <= off <= TOLERANCE_MS:
            return "ok"
        late_ms = 2 * self.lab.figures().late_us[2] / 1000  # there and back
        if 0 < off <= TOLERANCE_MS + late_ms:
            return (
                f"ok, {off:+.2f} ms: this machine is busy and the lab delivered up to {late_ms:.1f} ms late"
            )
        return f"off by {off:+.2f} ms"

    def _finding(
        self,
        kind: str,
        vantage: str,
        target: str,
        rtt_ms: float | None,
        document: dict[str, Any],
        hops: int | None = None,
        wrong: int | None = None,
    ) -> Finding:
        true = self.oracle.pair(vantage, target)
        host = self.oracle.topology.targets[target].target
        floor_ms = true["fibre_floor_ms"]
        return Finding(
            kind=kind,
            vantage=vantage,
            target=target,
            label=(host.label if host else None) or target,
            rtt_ms=rtt_ms,
            true_ms=true["rtt_ms"],
            floor_ms=floor_ms,
            stretch=round(rtt_ms / floor_ms, 2) if rtt_ms and floor_ms > 1 else None,
            verdict=self._verdict(rtt_ms, true["rtt_ms"] if true["reaches"] else None, wrong),
            hops=hops,
            wrong=wrong,
            first_byte_ms=document.get("ttfb_ms"),
        )


def compare(document: dict[str, Any], true: TruePath) -> tuple[int, int]:
    """(hops that are those of the truth, hops that are not) of a trace document; silence is no hop."""
    expected = {hop.ttl: hop.address for hop in true.hops}
    right = wrong = 0
    for hop in document["hops"]:
        if hop["address"] is None:
            continue
        answered = hop["address"] == expected.get(hop["ttl"])
        arrived = hop["ttl"] == len(true.hops) + 1 and hop["address"] == document["address"]
        right, wrong = (right + 1, wrong) if answered or arrived else (right, wrong + 1)
    return right, wrong
