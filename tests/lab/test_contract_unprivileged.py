"""The same truth without any right: uid 65534, no capability, no home, in the small world."""

import os
from collections.abc import Callable, Iterator

import pytest
from tests.cli.nobody import nobodys_program
from tests.cli.program import Done, check_shape
from tests.lab.contract import OPEN, SILENT_S, SLACK_MS, at, check_times, check_trace, side_by_side, truth_of

from nettrace.lab.session import RunningLab
from nettrace.lab.truth import Oracle
from nettrace.measure.tracing.flow import flow_for
from nettrace.model.measurement import Method

pytestmark = [pytest.mark.lab, pytest.mark.root]

METHODS = ["icmp", "udp", "tcp"]


@pytest.fixture(scope="module")
def lab(lab_permitted: None) -> Iterator[RunningLab]:
    with RunningLab.start("small", name=f"nobody-{os.getpid()}") as running:
        yield running


@pytest.fixture(scope="module")
def oracle(lab: RunningLab) -> Oracle:
    return lab.oracle()


@pytest.fixture(scope="module")
def nobody(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    return nobodys_program(tmp_path_factory.mktemp("nobody"))


def as_nobody(lab: RunningLab, program: tuple[str, ...], *words: str) -> Done:
    return at(lab, "nyc", *words, program=program)


def test_trace_finds_the_true_hops(lab: RunningLab, oracle: Oracle, nobody: tuple[str, ...]) -> None:
    ways = [(method, version) for method in METHODS for version in (4, 6)]

    def run_of(method: str, version: int) -> Callable[[], Done]:
        targets = [each for each in OPEN if method != "tcp" or each != "resolver.lab"]
        words = ("trace", *targets, "--method", method, f"-{version}", "--flow", "1")
        return lambda: as_nobody(lab, nobody, *words)

    for (method, _), done in zip(ways, side_by_side([run_of(*way) for way in ways]), strict=True):
        assert (done.code, done.err) == (0, "")
        clocks = ("kernel", "mixed", "user") if method == "tcp" else ("kernel",)
        for row in done.rows:
            assert row["flow"] == 1
            check_trace(row, truth_of(oracle, "nyc", row), clocks)


def test_sweep_finds_them_too_and_says_what_would_make_it_faster(
    lab: RunningLab, oracle: Oracle, nobody: tuple[str, ...]
) -> None:
    done = as_nobody(lab, nobody, "sweep", *OPEN, "nobody.lab", "-4")
    assert done.code == 6
    assert "setcap cap_net_raw+ep" in done.err
    for target in OPEN:
        row = done.by_target[target]
        assert row["address"] in row["resolved"]
        check_trace(row, truth_of(oracle, "nyc", row))
    assert done.by_target["nobody.lab"]["reason"] == "dns"


def test_ping_measures_the_true_round_trip(lab: RunningLab, oracle: Oracle, nobody: tuple[str, ...]) -> None:
    def run_of(method: str) -> Callable[[], Done]:
        words = ("-n", "3", "-i", "0.02", "--method", method, "--timeout", SILENT_S)
        return lambda: as_nobody(lab, nobody, "ping", "west.lab", "edge.lab", "dark.lab", *words)

    for method, done in zip(METHODS, side_by_side([run_of(method) for method in METHODS]), strict=True):
        assert done.code == 6
        for target in ("west.lab", "edge.lab"):
            row = done.by_target[target]
            check_shape(row)
            assert (row["outcome"], row["received"], row["clock"]) == ("measured", 3, "kernel")
            flow = flow_for(row["address"], Method(method), 0, row["port"])
            check_times(row["rtt_ms"], oracle.path("nyc", row["address"], flow, 6).rtt_ns)
        assert done.by_target["dark.lab"]["reason"] == "timeout"


@pytest.mark.parametrize("scheme", ["https", "wss"])
def test_services_are_timed_by_the_kernel(
    lab: RunningLab, oracle: Oracle, nobody: tuple[str, ...], scheme: str
) -> None:
    words = (
        "http" if scheme == "https" else "ws",
        f"{scheme}://west.lab/",
        "--insecure",
        "-4",
        "-n",
        "2",
        "-i",
        "0",
    )
    done = as_nobody(lab, nobody, *words)
    rtt_ms = oracle.pair("nyc", "west.lab")["rtt_ms"]
    assert done.code == 0
    for row in done.rows:
        check_shape(row)
        assert (row["outcome"], row["clock"]) == ("measured", "kernel")
        assert rtt_ms <= row["ttfb_ms"] < rtt_ms + SLACK_MS
        check_times([row["connect_ms"]], round(rtt_ms * 1e6))


def test_dns_is_timed_by_the_kernel(lab: RunningLab, nobody: tuple[str, ...]) -> None:
    row = as_nobody(lab, nobody, "dns", "west.lab").row
    check_shape(row)
    assert (row["outcome"], row["clock"]) == ("measured", "kernel")
