"""A node's keeper and uplink under load: `python node_load.py FOLDER PORT RECORDS BYTES`.

Makes records as fast as the disk takes them in hundreds, and writes the number of the newest one to stdout each time
the disk has them: from then on no kill may lose it. With 0 records it only brings what is there to the hub and ends.
"""

import os
import sys
import time
from pathlib import Path

from bench.hub_nodes import Agent
from tests.unit.node.entries import record

from nettrace.node.identity import Identity
from nettrace.node.keeper import Keeper
from nettrace.node.line import Hub, Signature
from nettrace.node.spool import Bounds
from nettrace.node.uplink import Uplink

GROUP = 50


def work(folder: Path, port: int, count: int, most_bytes: int) -> None:
    """Make, keep and send."""
    first = int((folder / "next").read_text()) if (folder / "next").exists() else 1
    agent = Agent()
    keeper = Keeper(folder, Bounds(most_bytes=most_bytes, oldest_s=1e9), say=agent.say)
    identity = Identity(node="nd_test", secret="s3cret", region="nyc", hub="")
    hub = Hub(f"http://127.0.0.1:{port}")
    uplink = Uplink(hub, Signature(identity), identity.node, keeper, agent)
    if port:
        uplink.start()
    for number in range(first, first + count):
        keeper.put(record(number))
        if number % GROUP == 0 and keeper.flush():
            os.write(1, f"{number}\n".encode())
            time.sleep(0.01)
    keeper.flush()
    while count == 0 and keeper.backlog:
        time.sleep(0.02)
    keeper.stop()


if __name__ == "__main__":
    work(Path(sys.argv[1]), *map(int, sys.argv[2:]))
