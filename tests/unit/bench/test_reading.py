"""What each tool prints, read into one shape; and the verdict over it."""

import json

import pytest
from bench import ours
from bench.capture import UDP, Probe
from bench.net import SOURCE4, Net
from bench.process import Ran
from bench.rivals import Report, read_fping, read_mtr, read_scamper, read_traceroute
from bench.verdict import judge, judge_hops, truth_by_key


def ran(out: str = "", err: str = "") -> Ran:
    return Ran(1.0, 0.1, 5.0, 0, [out], [err])


def test_fping() -> None:
    report = read_fping(ran(err="10.201.0.1  : 24.0 - 0.773\n10.201.0.2  : - - -\n"))
    assert report.rtts[("10.201.0.1", 0)] == [24000.0, None, 773.0]
    assert report.rtts[("10.201.0.2", 0)] == [None, None, None]


def test_scamper_ping_puts_answers_where_they_were_sent() -> None:
    line = {
        "type": "ping",
        "dst": "10.201.0.1",
        "ping_sent": 3,
        "responses": [{"seq": 2, "rtt": 24.1}, {"seq": 0, "rtt": 24.3}],
    }
    report = read_scamper(ran(json.dumps(line, separators=(",", ":"))))
    assert report.rtts[("10.201.0.1", 0)] == pytest.approx([24300.0, None, 24100.0])


def test_scamper_trace() -> None:
    line = {
        "type": "trace", "dst": "10.201.0.1", "stop_reason": "COMPLETED", "sport": 5, "dport": 6,
        "hops": [{"addr": "11.0.0.1", "probe_ttl": 1, "rtt": 2.0}, {"addr": "10.201.0.1", "probe_ttl": 3, "rtt": 6.5}],
    }  # fmt: skip
    report = read_scamper(ran(json.dumps(line, separators=(",", ":"))))
    assert report.hops[("10.201.0.1", 3)] == {"10.201.0.1"}
    assert ("10.201.0.1", 2) not in report.hops
    assert report.reached == {"10.201.0.1"}
    assert report.flows["10.201.0.1"] == (UDP, 5 << 16 | 6)


def test_mtr_counts_hops_from_nought_and_answers_by_number() -> None:
    report = Report()
    read_mtr(report, "t", "x 0 33000\nx 0 33001\nh 0 11.0.0.1\np 0 2516 33001\nx 1 33002\n")
    assert report.rtts[("t", 1)] == [None, 2516.0]
    assert report.rtts[("t", 2)] == [None]
    assert report.hops[("t", 1)] == {"11.0.0.1"}


def test_traceroute() -> None:
    report = Report()
    read_traceroute(
        report, "t", "traceroute to t (t), 30 hops max\n 1  11.0.0.1  2.243 ms\n 2  *\n10  t  24.1 ms\n"
    )
    assert report.rtts == {("t", 1): [2243.0], ("t", 2): [None], ("t", 10): [24100.0]}
    assert report.reached == {"t"}


def test_ours() -> None:
    ping = {
        "schema": "nettrace.ping/1",
        "address": "a",
        "rtt_ms": [1.5, None],
        "error_ms": [0.001, None],
        "not_measured": 1,
    }
    trace = {
        "schema": "nettrace.trace/1", "address": "10.201.0.9", "method": "udp", "flow": 0, "port": 33434, "reached": True,
        "hops": [{"ttl": 1, "address": "11.0.0.1", "rtt_ms": [0.4]}, {"ttl": 2, "address": None, "rtt_ms": [None]}],
    }  # fmt: skip
    report = ours.read(ran(json.dumps(ping) + "\n" + json.dumps(trace) + "\n"))
    assert report.rtts[("a", 0)] == [1500.0, None]
    assert report.bars[("a", 0)] == [1.0, None]
    assert report.taken_back == 1
    assert report.hops[("10.201.0.9", 2)] == set()
    proto, word = report.flows["10.201.0.9"]
    assert (proto, word & 0xFFFF) == (UDP, 33434)


def probe(ttl: int, sent: int, received: int | None) -> Probe:
    return Probe("t", "s", UDP, ttl, 0, sent, received)


def test_errors_are_reported_minus_true_in_sending_order() -> None:
    truth = truth_by_key(
        [probe(9, 0, 10_000), probe(9, 5_000, 17_000), probe(9, 9_000, 20_000)], by_ttl=False
    )
    report = Report()
    report.rtts[("t", 0)] = [10.5, 11.0]
    report.bars[("t", 0)] = [1.0, 0.2]
    verdict = judge(report, truth)
    assert verdict.errors == [0.5, -1.0]
    assert (verdict.unmatched, verdict.bars, verdict.outside) == (1, 2, 1)
    assert verdict.bar_holds == 50.0


def test_a_loss_is_false_only_when_the_answer_reached_the_device() -> None:
    truth = truth_by_key([probe(1, 0, None), probe(1, 5, 9)], by_ttl=True)
    report = Report()
    report.rtts[("t", 1)] = [None, None]
    assert judge(report, truth).false_losses == 1


CROOKED = Net(hops_min=8, hops_max=8, ecmp=4)


def traced(path: list[str | None], address: str, word: int) -> Report:
    report = Report()
    report.flows[address] = (UDP, word)
    for ttl, hop in enumerate(path, 1):
        if hop:
            report.hops[(address, ttl)].add(hop)
    return report


def test_the_path_of_the_tools_own_flow_is_right() -> None:
    address = CROOKED.target(3)
    path = CROOKED.path(SOURCE4, address, UDP, 12345)
    hops = judge_hops(traced(path, address, 12345), CROOKED, [address])
    assert (hops.right, hops.wrong, hops.visible, hops.routes) == (8, 0, 8, 1)


def test_a_hop_of_another_flow_is_wrong_though_it_exists() -> None:
    address = CROOKED.target(3)
    mine = CROOKED.path(SOURCE4, address, UDP, 1)
    word = next(n for n in range(2, 100) if CROOKED.path(SOURCE4, address, UDP, n)[1] != mine[1])
    mixed = [mine[0], CROOKED.path(SOURCE4, address, UDP, word)[1], *mine[2:]]
    hops = judge_hops(traced(mixed, address, 1), CROOKED, [address])
    assert (hops.right, hops.wrong, hops.routes) == (7, 1, 0)


def test_a_hop_not_reported_is_missing_not_wrong() -> None:
    address = CROOKED.target(3)
    path = CROOKED.path(SOURCE4, address, UDP, 1)
    hops = judge_hops(traced([None, *path[1:]], address, 1), CROOKED, [address])
    assert (hops.right, hops.wrong, hops.visible, hops.routes) == (7, 0, 8, 0)
