"""A sweep through the small world: every method and IP version against the lab's truth, with and without rights."""

import json
import sys
from typing import Any

import pytest

from nettrace.lab.session import RunningLab
from nettrace.measure.tracing.flow import flow_for
from nettrace.model.measurement import Method

pytestmark = pytest.mark.lab

TARGETS = ["west.lab", "quiet.lab", "edge.lab"]


def sweep(lab: RunningLab, vantage: str, targets: list[str], *more: str) -> dict[str, dict[str, Any]]:
    words = [sys.executable, "-m", "nettrace", "sweep", "-f", "-", "-o", "ndjson", *more]
    done = lab.run(vantage, words, input="\n".join(targets) + "\n")
    assert done.returncode in {0, 1, 6}, done.stderr
    documents = [json.loads(line) for line in done.stdout.splitlines()]
    return {document["target"]: document for document in documents}


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("method", list(Method))
def test_every_hop_that_answers_is_the_true_one(small_lab: RunningLab, method: Method, version: int) -> None:
    oracle = small_lab.oracle()
    addresses = [oracle.pair("nyc", target, version)["address"] for target in TARGETS]
    found = sweep(small_lab, "nyc", addresses, "--method", method)
    for target, address in zip(TARGETS, addresses, strict=True):
        path = oracle.path("nyc", target, flow_for(address, method), version)
        true = {hop.ttl: hop.address for hop in path.hops if not hop.silent}
        hops = found[address]["hops"]
        said = {hop["ttl"]: hop["address"] for hop in hops if hop["address"]}
        assert found[address]["reached"], found[address]
        assert said == {**true, len(path.hops) + 1: address}
        assert found[address]["clock"] == "kernel"
        for hop in path.hops:
            times = [time for time in hops[hop.ttl - 1]["rtt_ms"] if time is not None]
            assert all(time >= hop.rtt_ns / 1e6 for time in times)
