"""Lies told with real packets: a vantage that says it stands elsewhere, one whose targets are answered by a middlebox; and six honest ones."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.lab.test_hub_demo import call, line_with
from tests.lab.test_mesh import fleet_of

pytestmark = [pytest.mark.lab, pytest.mark.root]
PATIENCE_S = 300.0
"""Only a hang takes this long: evidence is a matter of rounds, of which a busy machine leaves some out."""
MOVED, BOXED = "fra", "bom"
BOX = """
import socket, subprocess, sys
for host in sys.argv[1:]:
    for address in {each[4][0] for each in socket.getaddrinfo(host, None)}:
        whole = [address + "/128", "dev", "lo", "nodad"] if ":" in address else [address + "/32", "dev", "lo"]
        subprocess.run(["ip", "addr", "add", *whole], check=True)
"""
"""The vantage's own machine has its targets' addresses: whatever is sent to them is answered at once."""
LIES = f"""
import dataclasses, msgspec, sys
from nettrace.cli import scene
from nettrace.cli.commands import demo
from nettrace.model.target import RoundMethod

BOX = {BOX!r}

class Lying(scene.LabScene):
    def __init__(self, world, *, unprivileged):
        super().__init__(world, unprivileged=unprivileged)
        done = self._lab.run("{BOXED}", [sys.executable, "-c", BOX, *(each.host for each in self.targets())])
        assert done.returncode == 0, done.stderr

    def targets(self):
        ping = (RoundMethod.ICMP,)
        for each in super().targets()[:14]:
            [endpoint] = each.endpoints
            yield msgspec.structs.replace(each, endpoints=(msgspec.structs.replace(endpoint, methods=ping),))

    def node(self, region, url, data):
        made = super().node(region, url, data)
        words = list(made.command)
        if region == "{MOVED}":
            words[words.index("--at") + 1] = "1.35,103.82"
        return dataclasses.replace(made, command=words)

demo.LabScene = Lying
demo.command()
"""


def test_both_liars_are_flagged_with_evidence_and_no_honest_vantage_is(
    lab_permitted: None, tmp_path: Path
) -> None:
    words = ["world", "--bind", "127.0.0.1:0", "--interval", "3", "--data", str(tmp_path / "d")]
    with subprocess.Popen([sys.executable, "-c", LIES, *words], stdout=subprocess.PIPE, text=True) as process:
        try:
            url = line_with(process, r"^ +http://127\.0\.0\.1:\d+$").strip()
            line_with(process, "all 8 vantages report")
            deadline = time.monotonic() + PATIENCE_S
            flagged: dict[str, list[str]] = {}
            while flagged.keys() != {MOVED, BOXED}:
                assert time.monotonic() < deadline, fleet_of(url)
                time.sleep(0.5)
                flagged = {each["region"]: each["evidence"] for each in fleet_of(url) if each["flagged"]}
                assert flagged.keys() <= {MOVED, BOXED}, "never an honest one, at no moment"
            assert all("light" in told[0] for told in flagged.values())
            assert call("GET", f"{url}/api/v1/vantages")["data"]
        finally:
            process.send_signal(signal.SIGINT)
            process.stdout.read()
            process.wait(PATIENCE_S)
