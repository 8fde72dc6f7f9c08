"""The mesh against the lab's truth: one-way delays over ways of different length, and a clock that is deliberately wrong."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.lab.test_hub_demo import call, line_with

import nettrace.lab
from nettrace.lab.session import RunningLab
from nettrace.lab.truth import Oracle
from nettrace.lab.worldfile import load

pytestmark = [pytest.mark.lab, pytest.mark.root]
PATIENCE_S = 90.0
DELIVERY_MS = 1.5
"""What the lab's own forwarding adds to a way on a busy machine."""

REFLECTOR = """
import asyncio, sys
from nettrace.measure.probing.stamp_reflector import Reflector
from nettrace.measure.probing.stamp_socket import Wall
from nettrace.measure.tracing.reflection import Peer
async def main():
    wall = Wall(offset_ns=int(float(sys.argv[1]) * 1e6), error_ns=50_000)
    reflector = Reflector([Peer(name="lab", networks=("0.0.0.0/0",))], port=int(sys.argv[2]), addresses=("0.0.0.0",), wall=lambda: wall)
    reflector.start()
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.read)
asyncio.run(main())
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small world with a third vantage, and a cable nobody takes westwards: there and back differ by five ms."""
    text = (Path(nettrace.lab.__file__).parent / "worlds" / "small.toml").read_text()
    vantage = '[[vantage]]\ncode = "sfo"\nsite = "sfo"\nnetwork = 64702\n\n'
    text = text.replace('[[target]]\nname = "west.lab"', vantage + '[[target]]\nname = "west.lab"')
    text = text.replace("lean_ms = 4.0\n", "").replace("detour = 1.25\n", "detour = 1.25\nlean_ms = 15.0\n")
    path = tmp_path_factory.mktemp("world") / "mesh.toml"
    path.write_text(text)
    return path


@pytest.fixture(scope="module")
def lab(lab_permitted: None, world: Path) -> Iterator[RunningLab]:
    with RunningLab.start(str(world), name=f"mesh-{os.getpid()}") as running:
        yield running


def fleet_of(url: str) -> list[dict[str, Any]]:
    """What the hub says of its vantages; it looks at them anew every few seconds."""
    return call("GET", f"{url}/api/v1/fleet")["data"]


def reflected(lab: RunningLab, wrong_ms: float, port: int) -> dict[str, Any]:
    """What a session from New York finds of a reflector in San Francisco whose clock is wrong by so much."""
    address = lab.oracle().pair("nyc", "sfo")["address"]
    there = [*lab.prefix("sfo"), sys.executable, "-c", REFLECTOR, str(wrong_ms), str(port)]
    reflector = subprocess.Popen(there, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert reflector.stdout.readline(), "the reflector did not start"
        command = [
            sys.executable,
            "-m",
            "nettrace",
            "stamp",
            address,
            "--port",
            str(port),
            "-n",
            "8",
            "-i",
            "0.05",
        ]
        asked = [*lab.prefix("nyc"), *command, "--clock-error", "0.05", "-o", "ndjson"]
        done = subprocess.run(asked, capture_output=True, timeout=PATIENCE_S, check=False)
    finally:
        reflector.stdin.close()
        reflector.wait(PATIENCE_S)
        reflector.stdout.close()
    return json.loads(done.stdout)


def test_one_way_delays_over_an_asymmetric_way_are_the_labs(lab: RunningLab) -> None:
    truth = lab.oracle().pair("nyc", "sfo")
    assert truth["forward_ms"] - truth["return_ms"] > 5
    made = reflected(lab, 0.0, 8801)
    assert made["outcome"] == "measured" and made["out"]["resolvable"] and made["back"]["resolvable"]
    for way, true_ms in (("out", truth["forward_ms"]), ("back", truth["return_ms"])):
        told = made[way]
        assert -told["error_ms"] <= told["min_ms"] - true_ms <= told["error_ms"] + DELIVERY_MS, way
        assert told["error_ms"] < 0.2
        assert (told["lost"], told["reordered"]) == (0, 0)
    assert made["min_ms"] == pytest.approx(truth["rtt_ms"], abs=2 * DELIVERY_MS)
    assert set(made["grades"]) == {"K"}
    assert made["out"]["hops"] != made["back"]["hops"]  # they really go different ways


@pytest.mark.parametrize("wrong_ms", [250.0, -250.0])
def test_a_clock_that_is_wrong_costs_the_one_way_delays_and_nothing_else(
    lab: RunningLab, wrong_ms: float
) -> None:
    made = reflected(lab, wrong_ms, 8802)
    truth = lab.oracle().pair("nyc", "sfo")
    for way in ("out", "back"):
        assert made[way]["delay_ms"] is None and "contradict" in made[way]["why"]
        assert made[way]["lost"] == 0
    assert made["min_ms"] == pytest.approx(truth["rtt_ms"], abs=2 * DELIVERY_MS)


def test_nodes_of_a_hub_measure_each_other_both_ways(
    lab_permitted: None, world: Path, tmp_path: Path
) -> None:
    oracle = Oracle(load(str(world)))
    command = [
        sys.executable,
        "-m",
        "nettrace",
        "demo",
        str(world),
        "--bind",
        "127.0.0.1:0",
        "--interval",
        "2",
    ]
    with subprocess.Popen(
        [*command, "--data", str(tmp_path / "d")], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            url = line_with(process, r"^ +http://127\.0\.0\.1:\d+$").strip()
            line_with(process, "all 3 vantages report")
            deadline = time.monotonic() + PATIENCE_S
            while True:
                found = {
                    (each["one"], each["other"]): each for each in call("GET", f"{url}/api/v1/mesh")["data"]
                }
                if len(found) == 3 and all(
                    each["rtt_ms"] and each["there"] and each["back"] for each in found.values()
                ):
                    break
                assert time.monotonic() < deadline, found
                time.sleep(0.2)
            for (one, other), pair in found.items():
                truth = oracle.pair(one, other)
                assert pair["rtt_ms"] == pytest.approx(truth["rtt_ms"], abs=2 * DELIVERY_MS + 1)
                for leg, true_ms in (
                    (pair["there"], truth["forward_ms"]),
                    (pair["back"], truth["return_ms"]),
                ):
                    assert leg["error_ms"] is not None  # stated, whether it allows a figure or not
                    if leg["delay_ms"] is not None:
                        assert abs(leg["delay_ms"] - true_ms) <= leg["error_ms"] + DELIVERY_MS + 1
                    assert leg["lost"] == 0
            while not (routes := call("GET", f"{url}/api/v1/mesh/nyc/sfo")["routes"]) or len(routes) < 2:
                assert time.monotonic() < deadline, "no traces both ways"
                time.sleep(0.5)
            assert {(each["region"], each["endpoint"]) for each in routes} == {
                ("nyc", "node"),
                ("sfo", "node"),
            }
            while not all(each["clock"]["error_ms"] for each in fleet_of(url)):
                assert time.monotonic() < deadline, fleet_of(url)
                time.sleep(0.5)
            fleet = fleet_of(url)
            assert not any(each["flagged"] for each in fleet)
            assert {each["region"] for each in fleet if each["reflector"]} == {"nyc", "lon", "sfo"}
        finally:
            process.send_signal(signal.SIGINT)
            process.stdout.read()
            process.wait(PATIENCE_S)
