"""`python -m bench.soak --nodes 16 --minutes N`: a fleet in the lab under faults, counted from a ledger outside of it.

So many nodes are enrolled at one hub; each measures every target of the world and all the other nodes. At random they
are killed, ended, drained, revoked and enrolled anew, cut off from the hub; cables are cut; the hub's
own processes are killed; forged, replayed and revoked reports are sent. Then all nodes are upgraded one after the other.
What the hub has in the end is held against what passed the gate before it.
"""

import argparse
import http.client
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from contextlib import ExitStack, suppress
from pathlib import Path

import msgspec

from bench.hub_faults import Hub
from bench.soak_count import Remains, count
from bench.soak_fleet import PATIENCE_S, Node, Sloppy, forged, wait, world_text
from bench.soak_gate import Gate
from nettrace.errors import NetTraceError
from nettrace.hub.assignment import SETTING, Orders, cadence
from nettrace.hub.enrolment import make_token
from nettrace.hub.link import HubWriter, blocking_link
from nettrace.hub.place import Data
from nettrace.hub.programs import writes
from nettrace.lab.doorway import listeners
from nettrace.lab.session import RunningLab
from nettrace.lab.world import Event
from nettrace.model.instant import NS_PER_S
from nettrace.model.target import Endpoint, Role, RoundMethod, Target
from nettrace.model.vantage import VantageState
from nettrace.node.rounds import PROBE_S
from nettrace.wire.frames import Cadence
from nettrace.wire.signing import key_of, signed

PATH = "/api/v1/nodes/report"
REFLECTOR_PORT = 8862


class Soak:
    """The fleet, and everything that is done to it."""

    def __init__(self, lab: RunningLab, data: Data, given: argparse.Namespace, stack: ExitStack) -> None:
        self.rng = random.Random(given.seed)
        self.done: Counter[str] = Counter()
        self.statuses: Counter[str] = Counter()
        self.given = given
        self.cadence = msgspec.structs.replace(
            cadence(given.interval), probes=2, exchange_s=86_400.0, trace_s=86_400.0
        )
        self.data = data
        self._lab = lab
        world = lab.oracle().world
        self.regions = [each.code for each in world.vantage][: given.nodes]
        self.targets = [each.name for each in world.target if not each.dark][: given.targets]
        self._cables = [each.code for each in world.cable]
        self.hub = Hub(data, workers=2)
        stack.callback(self._close_hub)
        assert self.hub.listener is not None
        port = self.hub.listener.getsockname()[1]
        self._port = port
        doors = listeners(lab, self.regions, port)
        self.gate = Gate(dict(zip(self.regions, doors, strict=True)), port)
        stack.callback(self.gate.close)
        oracle = lab.oracle()
        nodes = data.folder / "nodes"
        nodes.mkdir()
        self.nodes = {
            region: Node(
                region, lab.prefix(region), nodes, f"http://127.0.0.1:{port}",
                f"{oracle.pair(self.regions[i - 1], region)['address']}:{REFLECTOR_PORT}",
            )
            for i, region in enumerate(self.regions)
        }  # fmt: skip
        stack.callback(self._kill_nodes)

    # -- life
    def begin(self) -> None:
        """Hub, targets, tokens, nodes; returns when every one of them has got rounds acknowledged."""
        for name in self.hub.names:
            self.hub.start(name)
            if name == "writer":
                wait(lambda: writes(self.data), "the writer to answer")
        link = blocking_link(self.data.socket)
        orders = Orders(cadence=self.cadence, open_networks=("0.0.0.0/0", "::/0"), rate_pps=500)
        link.put_setting(SETTING, msgspec.json.encode(orders), time.time_ns())
        link.put_targets([_target(name) for name in self.targets], time.time_ns())
        for node in self.nodes.values():
            node.renew(make_token(link, node.region, time.time_ns()))
        link.close()
        self.gate.start()
        for node in self.nodes.values():
            node.start()
        wait(
            lambda: len(self._safe_regions()) == len(self.nodes),
            "every node to get something acknowledged",
            240,
        )

    def _safe_regions(self) -> set[str]:
        return {name[0] for name in self.gate.ledger.safe()}

    def act(self) -> str:
        """Do one thing to the fleet; what it was."""
        name = self.rng.choice(ACTS)
        node = self.nodes[self.rng.choice(self.regions)]
        getattr(self, f"_{name}")(node)
        self.done[name] += 1
        self.hub.mend()
        return name

    def _kill(self, node: Node) -> None:
        node.end(signal.SIGKILL)
        node.start()

    def _restart(self, node: Node) -> None:
        node.end()
        node.start()

    def _drain(self, node: Node) -> None:
        self._set(node, VantageState.DRAINED)
        time.sleep(self.rng.uniform(1, 5))
        self._set(node, VantageState.ACTIVE)

    def _revoke(self, node: Node) -> None:
        """It ends by itself; its key opens nothing any more; its heir begins anew."""
        if not node.enrolled:
            return
        old = node.identity()
        self._set(node, VantageState.REVOKED)
        assert node.process is not None
        try:
            self.statuses[f"revoked node ended with {node.process.wait(PATIENCE_S)}"] += 1
        except subprocess.TimeoutExpired as error:
            raise Sloppy(f"the revoked node of {node.region} did not end") from error
        self._note(
            "revoked", self._send(old.node, old.secret, forged(old.node, self.gate.ledger.acknowledged))
        )
        with self._linked() as link:
            node.renew(make_token(link, node.region, time.time_ns()))
        node.start()
        wait(lambda: node.enrolled, f"the heir of {node.region} to enrol")
        heir = node.identity().node
        wait(lambda: heir in self.gate.ledger.version, f"the heir of {node.region} to report")

    def _partition(self, node: Node) -> None:
        self.gate.partition(node.region)
        time.sleep(self.rng.uniform(1, 6))
        self.gate.heal(node.region)

    def _cable(self, _: Node) -> None:
        cable = self.rng.choice(self._cables)
        self._lab.happen(Event(kind="cut", subject=cable))
        time.sleep(self.rng.uniform(0.5, 3))
        self._lab.happen(Event(kind="restore", subject=cable))

    def _crash(self, _: Node) -> None:
        victim = self.rng.choice(self.hub.names)
        if victim in self.hub.processes:
            self.hub.end(victim, signal.SIGKILL)
        self.hub.start(victim)

    def _forge(self, node: Node) -> None:
        """Nobody's node, another one's name, an old body again, a body changed under its signature."""
        if not node.enrolled:
            return
        who = node.identity()
        body = forged(who.node, self.gate.ledger.acknowledged)
        self._note("unknown node", self._send("node_of_nobody", "nobody's secret", body))
        self._note("wrong key", self._send(who.node, "another secret", body))
        other = next(each for each in self.nodes.values() if each is not node)
        if other.enrolled:
            mine = other.identity()
            self._note("in another's name", self._send(mine.node, mine.secret, body))
        if node.region in self.gate.ledger.newest:
            headers, old = self.gate.ledger.newest[node.region]
            self._note("replayed", self._post(headers, old))
            self._note("changed under way", self._post(headers, body))

    def upgrade(self) -> list[float]:
        """Every node in turn is ended and started as another version; how long each was away, as its gap states."""
        away: list[float] = []
        for node in self.nodes.values():
            wait(lambda node=node: node.enrolled, f"{node.region} to enrol")
            who = node.identity().node
            node.end()
            node.version, began = "soak-2", time.time_ns()
            node.start()
            wait(
                lambda who=who: self.gate.ledger.version.get(who) == "soak-2",
                f"{node.region} to say its version",
            )
            away.append((time.time_ns() - began) / NS_PER_S)
        return away

    def finish(self) -> None:
        """Heal everything, let every spool run empty, end the nodes, then the hub."""
        self.hub.mend()
        for region in self.regions:
            self.gate.heal(region)
        for node in self.nodes.values():
            assert node.process is not None
            if node.process.poll() is None:
                node.process.send_signal(signal.SIGTERM)
        for node in self.nodes.values():
            assert node.process is not None
            self.statuses[f"ended with {node.process.wait(PATIENCE_S)}"] += 1

    # -- hands
    def _linked(self) -> "_Link":
        return _Link(self.data, self.hub)

    def _set(self, node: Node, state: VantageState) -> None:
        if node.enrolled:
            with self._linked() as link:
                link.set_state(node.identity().node, state, time.time_ns())

    def _send(self, node: str, secret: str, body: bytes) -> int:
        headers = signed(node, key_of(secret), ("POST", PATH), time.time_ns(), body)
        return self._post(
            {**headers, "Content-Encoding": "deflate", "Content-Type": "application/msgpack"}, body
        )

    def _post(self, headers: dict[str, str], body: bytes) -> int:
        kept = {
            name: value for name, value in headers.items() if name.lower() not in {"content-length", "host"}
        }
        for _ in range(20):  # the hub may just be starting again
            connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=20)
            try:
                connection.request("POST", PATH, body, kept)
                status = connection.getresponse().status
            except (OSError, http.client.HTTPException):
                status = 0
            finally:
                connection.close()
            if status not in {0, 500, 502, 503}:
                return status
            time.sleep(0.3)
            self.hub.mend()
        return status

    def _note(self, what: str, status: int) -> None:
        self.statuses[f"{what}: {status}"] += 1

    def _kill_nodes(self) -> None:
        for node in self.nodes.values():
            if node.process is not None and node.process.poll() is None:
                node.process.kill()
                node.process.wait(20)

    def _close_hub(self) -> None:
        with suppress(subprocess.TimeoutExpired):
            self.hub.close()


ACTS = ("kill", "restart", "drain", "revoke", "partition", "cable", "crash", "forge")


class _Link:
    """The writer, tried again while it is just being started."""

    def __init__(self, data: Data, hub: Hub) -> None:
        self._data, self._hub = data, hub

    def __enter__(self) -> HubWriter:
        def up() -> bool:
            self._hub.mend()
            return writes(self._data)

        wait(up, "the writer to answer")
        self._link = blocking_link(self._data.socket)
        return self._link

    def __exit__(self, *_: object) -> None:
        self._link.close()


def longest_ns(orders: Cadence) -> dict[str, int]:
    """By method, how long a round takes that nobody answers: its probes, and the wait for the last one.

    A session with another node waits once more, for the probe that asks what came of the others.

    >>> longest_ns(Cadence(probes=2, spacing_s=0.2))
    {'icmp': 2200000000, 'stamp': 4200000000}
    """
    probes_s = (orders.probes - 1) * orders.spacing_s
    return {
        "icmp": round((probes_s + PROBE_S) * NS_PER_S),
        "stamp": round((probes_s + 2 * PROBE_S) * NS_PER_S),
    }


def _target(name: str) -> Target:
    endpoint = Endpoint(name="lab", host=name, role=Role.API, methods=(RoundMethod.ICMP,))
    return Target(host=name, name=name, category="Lab", endpoints=(endpoint,))


def run(given: argparse.Namespace, folder: Path) -> tuple[Soak, Remains, list[float]]:
    """The whole of it."""
    path = folder / "soak.toml"
    path.write_text(world_text(given.nodes))
    data = Data(folder / "hub")
    data.make()
    began = time.monotonic()
    with RunningLab.start(str(path), name=f"soak-{os.getpid()}") as lab, ExitStack() as stack:
        soak = Soak(lab, data, given, stack)
        soak.begin()
        print(
            f"soak: {len(soak.nodes)} nodes report, {len(soak.targets)} targets and {len(soak.nodes) - 1} peers each, "
            f"after {time.monotonic() - began:.0f} s", flush=True,
        )  # fmt: skip
        until = time.monotonic() + given.minutes * 60
        while time.monotonic() < until:
            soak.act()
            time.sleep(soak.rng.uniform(0, given.pause))
        away = soak.upgrade() if given.upgrade else []
        soak.finish()
    intervals = {method: round(given.interval * NS_PER_S) for method in ("icmp", "stamp")}
    return soak, count(data, soak.gate.ledger, intervals, longest_ns(soak.cadence)), away


def lines(soak: Soak, left: Remains, away: list[float]) -> Iterable[str]:
    """What happened and what is left, in words."""
    ledger = soak.gate.ledger
    yield f"  done to them: {', '.join(f'{name} {times}' for name, times in sorted(soak.done.items()))}"
    yield f"  answers to them: {', '.join(f'{name} x{times}' for name, times in sorted(soak.statuses.items()))}"
    yield f"  {ledger.reports} reports acknowledged, {ledger.cut} connections cut, numbers that changed meaning {ledger.changed}"
    yield f"  rounds acknowledged {left.acknowledged}, stored {left.stored}"
    yield f"  lost {left.lost}, doubled {left.doubled}, invented {left.invented}, acknowledgements that went back {ledger.went_back}"
    yield f"  gaps stated: {', '.join(f'{name} {times}' for name, times in sorted(left.reasons.items()))}"
    yield f"  stated gaps {left.gaps}, the longest {left.longest_gap_s:.1f} s; holes {left.holes}, unexplained {len(left.unexplained)}"
    yield from (f"    {each}" for each in left.unexplained[:10])
    yield from (f"    store: {each}" for each in left.faults[:10])
    if away:
        yield f"  rolling upgrade: {len(away)} nodes, back after {min(away):.1f} to {max(away):.1f} s each"


def is_sound(soak: Soak, left: Remains) -> bool:
    """True when nothing is lost, doubled, invented, unexplained or damaged, and nothing forged got in."""
    ledger = soak.gate.ledger
    wrong = (
        left.lost,
        left.doubled,
        left.invented,
        left.unexplained,
        left.faults,
        ledger.went_back,
        ledger.changed,
    )
    let_in = [each for each in soak.statuses if each.endswith(": 200") and not each.startswith("replayed")]
    return not any(wrong) and not let_in and left.acknowledged > 0


def main() -> int:
    """Print what a soak left; exit 1 when it is not sound."""
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=__doc__)
    parser.add_argument("--nodes", type=int, default=16)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--targets", type=int, default=104)
    parser.add_argument("--interval", type=float, default=20.0, help="seconds between rounds of a series")
    parser.add_argument("--pause", type=float, default=3.0, help="seconds between two faults, at most")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--no-upgrade", dest="upgrade", action="store_false")
    parser.add_argument("--quick", action="store_true", help="4 nodes, 20 targets, half a minute")
    parser.add_argument("--keep", type=Path, help="leave hub, nodes' logs and spools in this new folder")
    given = parser.parse_args()
    if given.quick:
        given.nodes, given.targets, given.minutes, given.interval, given.pause = 4, 20, 0.5, 4.0, 1.0
    began = time.monotonic()
    with ExitStack() as stack:
        folder = given.keep or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.mkdir(exist_ok=True)
        try:
            soak, left, away = run(given, folder)
        except (Sloppy, NetTraceError) as error:
            print(f"soak: {error}")
            return 2
    print(f"soak: {given.minutes:g} minutes of faults, {time.monotonic() - began:.0f} s in all")
    for line in lines(soak, left, away):
        print(line)
    return 0 if is_sound(soak, left) else 1


if __name__ == "__main__":
    sys.exit(main())
