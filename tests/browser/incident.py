"""`nettrace demo` in an internet of ours, with a cable that grows slow when we say so; time is counted in rounds.

The nodes send real packets from network namespaces. A round counts when it was due after the cable changed and is stored.
"""

import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx2
import msgspec
from tests.browser.served import PATIENCE_S, eventually

from nettrace.hub.assignment import SETTING, Orders, cadence
from nettrace.hub.link import blocking_link
from nettrace.hub.place import Data
from nettrace.lab import state
from nettrace.lab.session import RunningLab
from nettrace.lab.world import Event
from nettrace.lab.worldfile import load
from nettrace.model.instant import NS_PER_S, rfc3339

WORLD = Path(__file__).with_name("coasts.toml")
CABLE, ENDS = "plains-1", {"chi", "den"}
AFFECTED = {(vantage, target) for vantage in ("nyc", "chi", "lon") for target in ("bay.lab", "peak.lab")}
INTERVAL_S = 3.0
"""What a report and a page need beside a round, a second or two on a busy machine, is less than that."""
KNOWN_ROUNDS = 11
"""Rounds before the incident: what detectors need to know a level (six), and what they keep apart (five)."""


class Incident:
    """A running demo."""

    def __init__(self, process: "subprocess.Popen[str]", url: str) -> None:
        self.url = url
        self.lab = RunningLab(state.folder(f"demo-{process.pid}"))
        self.planted_at = 0

    def rounds(self, pair: tuple[str, str], method: str, since: int) -> list[Any]:
        """Rounds of a pair due since then that took place, as the API lists them."""
        asked = {"host": pair[1], "region": pair[0], "method": method, "start": rfc3339(since), "limit": 500}
        answer = httpx2.get(f"{self.url}/api/v1/rounds", params=asked, timeout=PATIENCE_S)
        found = (
            answer.json()["data"] if answer.status_code == 200 else []
        )  # a region is known once it has reported
        return [
            each for each in found if each["outcome"] != "not_measured"
        ]  # a busy machine leaves rounds out, and says so

    def passed(self, until: int) -> tuple[int, int]:
        """Rounds between the incident and an instant: at the affected pair with fewest, and with most."""
        due = {
            pair: [_instant(each["due"]) for each in self.rounds(pair, "tcp", self.planted_at)]
            for pair in AFFECTED
        }
        counts = [sum(each <= until for each in instants) for instants in due.values()]
        return min(counts), max(counts)

    def wait_until_known(self, since: int) -> None:
        """Return once every affected pair has rounds enough for a level, and traces beside them."""
        wanted = (("tcp", KNOWN_ROUNDS), ("icmp", KNOWN_ROUNDS), ("trace", 4))
        for pair in AFFECTED:
            for method, least in wanted:
                for number in range(1, least + 1):  # patience is for the next one, not for all
                    eventually(
                        lambda pair=pair, method=method, number=number: (
                            len(self.rounds(pair, method, since)) >= number
                        ),
                        f"{number} {method} rounds of {pair}",
                    )

    def plant(self) -> None:
        """The cable grows slow: 25 ms more each way."""
        self.lab.happen(Event(kind="congest", subject=CABLE, delay_ms=25.0))
        self.planted_at = time.time_ns()

    def site_of(self, address: str) -> str:
        """Where the router with this address truly stands."""
        import ipaddress

        owner = self.lab.oracle().topology.owners[ipaddress.ip_address(address).packed]
        return owner.group.site.code


@contextmanager
def running(folder: Path) -> Iterator[Incident]:
    """The demo, measuring every second; Ctrl-C ends it."""
    words = [
        "demo",
        str(WORLD),
        "--bind",
        "127.0.0.1:0",
        "--interval",
        str(INTERVAL_S),
        "--data",
        str(folder),
    ]
    command = [sys.executable, "-m", "nettrace", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stdout is not None
            url = next(found[1] for line in process.stdout if (found := re.match(r"^ +(http://\S+)$", line)))
            _trace_every_round(folder)
            yield Incident(process, url)
        finally:
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=60)


def _instant(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * NS_PER_S)


def _trace_every_round(folder: Path) -> None:
    """What explains an incident are traces: as often as round trips, so that rounds are one measure for both.

    No mesh: one-way delays rest on clocks compared by packets, which a busy machine moves, and these are other pairs.
    """
    world = load(str(WORLD))
    often = msgspec.structs.replace(cadence(INTERVAL_S), trace_s=INTERVAL_S, exchange_s=60.0, probes=3)
    orders = Orders(cadence=often, open_networks=(world.ipv4, world.ipv6), mesh=False)
    with closing(blocking_link(Data(folder).socket)) as link:
        link.put_setting(SETTING, msgspec.json.encode(orders), time.time_ns())
