"""Nodes for `bench.hub_faults`, the real thing: a spool on disk and the uplink that empties it, killed at any moment.

`python -m bench.hub_nodes FOLDER PORT NODE NUMBER FIRST COUNT` makes so many records beginning with number FIRST and
writes to stdout up to which its disk has them: from then on no kill may lose one. With a COUNT of 0 it brings to the
hub what is in the spool, and ends.
"""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

from bench.hub_record import record
from nettrace.errors import NetTraceError
from nettrace.node.identity import Identity
from nettrace.node.keeper import Keeper
from nettrace.node.line import Hub, Signature
from nettrace.node.spool import Bounds
from nettrace.node.uplink import About, Uplink
from nettrace.wire.frames import Assignment, Work

GROUP, PAUSE_S = 20, 0.02
"""Records that are committed at once, and the rest between two commits: some 700 a second."""

LIFE = 10_000
"""Numbers a life may use; the next one begins behind them, so that none is ever made twice."""

PATIENCE_S = 180.0
"""Longer than the longest pause of an uplink, three times."""


class Agent:
    """A node around the uplink that wants nothing."""

    def about(self) -> About:
        return About(assignment=1)

    def assigned(self, assignment: Assignment) -> None:
        return

    def asked(self, work: tuple[Work, ...]) -> None:
        return

    def dismissed(self, error: NetTraceError) -> None:
        raise error

    def say(self, words: str) -> None:
        print(words, file=sys.stderr, flush=True)


def live(folder: Path, port: int, name: str, number: int, numbers: range) -> None:
    """Make, keep and send; without anything to make, send what is there."""
    agent = Agent()
    keeper = Keeper(folder, Bounds(oldest_s=1e9), say=agent.say)  # its records are of long ago
    identity = Identity(node=name, secret=name, region=f"v{number}", hub="")
    uplink = Uplink(Hub(f"http://127.0.0.1:{port}"), Signature(identity), name, keeper, agent)
    uplink.start()
    for place, seq in enumerate(numbers, 1):
        keeper.put(record(seq, number))
        if place % GROUP == 0 and keeper.flush():
            os.write(1, b"%d\n" % seq)
            time.sleep(PAUSE_S)
    while keeper.backlog or numbers:
        time.sleep(0.05)
    keeper.stop()


class Node:
    """One of them as the storm sees it: its lives, one after the other, and what each had on its disk."""

    def __init__(self, folder: Path, port: int, name: str, number: int) -> None:
        self.name, self.number = name, number
        self.kept: list[range] = []
        self._words = [sys.executable, "-m", "bench.hub_nodes", str(folder), str(port), name, str(number)]
        self._first = 1
        folder.mkdir(parents=True)
        self._start(LIFE - 1)

    def _start(self, count: int) -> None:
        self._newest = self._first - 1
        self._process = subprocess.Popen(
            [*self._words, str(self._first), str(count)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        self._listener = threading.Thread(target=self._listen, args=(self._process,))
        self._listener.start()

    def _listen(self, process: "subprocess.Popen[bytes]") -> None:
        assert process.stdout is not None
        with process.stdout as said:
            for line in said:
                if line.endswith(b"\n"):
                    self._newest = int(line)

    def _ended(self) -> int:
        code = self._process.wait(PATIENCE_S)
        self._listener.join()
        self.kept.append(range(self._first, self._newest + 1))
        self._first += LIFE
        return code

    def kill(self) -> None:
        """Kill it and let it live again, on the same folder."""
        self._process.kill()
        self._ended()
        self._start(LIFE - 1)

    def signal(self, number: int) -> None:
        """Stop it for a while, or let it go on."""
        self._process.send_signal(number)

    def drain(self) -> None:
        """Kill it a last time; the life after that only brings to the hub what is left.

        Raises:
            TimeoutExpired: it does not get there.
        """
        self._process.kill()
        self._ended()
        self._start(0)
        if self._ended():
            raise AssertionError(f"{self.name} could not bring its spool to the hub")

    def close(self) -> None:
        """Leave no process behind."""
        self._process.kill()
        self._process.wait()
        self._listener.join()


def main() -> None:
    """One life."""
    folder, port, name, number, first, count = sys.argv[1:]
    live(Path(folder), int(port), name, int(number), range(int(first), int(first) + int(count)))


if __name__ == "__main__":
    main()
