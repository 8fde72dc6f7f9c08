"""Globalping's client against a double that checks every request by the published schema."""

import threading
from pathlib import Path
from typing import Any

import pytest
from tests.unit.outside_remote.doubles import PROBE, FakeGlobalping, pinged, result, served

from nettrace.errors import Invalid, QuotaExceeded, SourceError, Unauthenticated, Unreachable
from nettrace.model.measurement import Clock, Grade, Method, Outcome, Reason, SampleState
from nettrace.model.remote import Errand
from nettrace.outside.allowance import Allowance
from nettrace.outside.globalping import Globalping
from nettrace.outside.remote import World
from nettrace.outside.rest import Rest

PING = Errand(kind="ping", target="api.example", places=("Tokyo",), packets=3)


class Time:
    """A clock that only waiting moves."""

    def __init__(self) -> None:
        self.ns = 1_795_000_000_000_000_000
        self.waits: list[float] = []

    def now(self) -> int:
        return self.ns

    def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.ns += round(seconds * 1e9)


def client(url: str, folder: Path, time: Time | None = None, **environ: str) -> Globalping:
    time = time or Time()
    world = World(Allowance(folder / "ledger.sqlite", time.now), time.now, time.sleep)
    return Globalping(world, {"NETTRACE_GLOBALPING_URL": url, **environ})


def left(folder: Path) -> int:
    from nettrace.outside.allowance import Window

    window = Window(service="globalping", account="nobody", unit="tests", limit=250, seconds=3600)
    return Allowance(folder / "ledger.sqlite", Time().now).left(window)


def test_a_ping_becomes_a_round_with_its_vantage_and_an_honest_clock(tmp_path: Path) -> None:
    fake = FakeGlobalping(
        [pinged(2.5, 2.25, total=3), pinged(3.0, city="São Paulo", country="BR", asn=7, tags=[])]
    )
    with served(fake) as double:
        there = client(double.url, tmp_path)
        errand = Errand(kind="ping", target="api.example", places=("aws:ap-northeast-1", "BR"), packets=3)
        cost = there.cost(errand)
        assert (cost.amount, cost.left, cost.limit, cost.unit) == (2, 250, 250, "tests")
        found = there.run(errand)
    assert fake.created["locations"] == [
        {"magic": "aws-ap-northeast-1", "limit": 1},
        {"magic": "BR", "limit": 1},
    ]
    assert found.number == "globalping:nzGzfAGL7sZfUs3c"
    first, second = found.results
    ping: Any = first.measurement
    assert [sample.state for sample in ping.samples] == [SampleState.ANSWERED] * 2 + [SampleState.LOST]
    assert [sample.rtt_ns for sample in ping.samples[:2]] == [2_500_000, 2_250_000]
    assert {sample.grade for sample in ping.samples[:2]} == {Grade.USER}
    assert ping.clock is Clock.USER and ping.samples[0].error_ns is None
    assert ping.address == "1.0.0.1" and ping.at == 1_795_168_800_250_000_000
    assert ping.vantage == first.probe.code == "globalping:tokyo-jp-as16509"
    assert first.probe.region == "aws:ap-northeast-1" and first.probe.network == "Amazon.com"
    assert second.probe.region is None and second.probe.city == "São Paulo"
    assert double.asked[0].path == "/v1/limits"
    assert "authorization" not in double.asked[0].headers
    assert left(tmp_path) == 248


def test_polling_is_slow_and_asks_with_the_etag(tmp_path: Path) -> None:
    fake, time = FakeGlobalping([pinged(1.0)]), Time()
    fake.polls_until_finished = 4
    with served(fake) as double:
        client(double.url, tmp_path, time).run(PING)
    gets = [asked for asked in double.asked if asked.method == "GET"]
    assert [asked.headers.get("if-none-match") for asked in gets] == [None, 'W/"1"', 'W/"1"', 'W/"1"']
    assert min(time.waits) >= 0.5


def test_a_trace_and_an_exchange_are_imported_whole(tmp_path: Path) -> None:
    hops = [
        {"resolvedAddress": "10.0.0.1", "resolvedHostname": "gw", "timings": [{"rtt": 0.5}]},
        {"resolvedAddress": None, "resolvedHostname": None, "timings": []},
        {
            "resolvedAddress": "1.0.0.1",
            "resolvedHostname": "1.0.0.1",
            "timings": [{"rtt": 9.5}, {"rtt": 9.0}],
        },
    ]
    trace = result({"resolvedAddress": "1.0.0.1", "resolvedHostname": "x", "hops": hops})
    with served(FakeGlobalping([trace])) as double:
        there = client(double.url, tmp_path)
        [found] = there.run(
            Errand(kind="trace", target="api.example", places=("Tokyo",), method=Method.TCP)
        ).results
    traced: Any = found.measurement
    assert traced.reached and traced.rtt_ns == 9_000_000
    assert [hop.address for hop in traced.hops] == ["10.0.0.1", None, "1.0.0.1"]
    assert double.asked[0].body["measurementOptions"] == {"protocol": "TCP", "port": 443}

    times = {"total": 120, "dns": 5, "tcp": 30, "tls": 40, "firstByte": 44, "download": 1}
    page = {"statusCode": 200, "timings": times, "tls": {"protocol": "TLSv1.3"}, "resolvedAddress": "1.0.0.1"}
    with served(FakeGlobalping([result(page), result({**page, "statusCode": 451})])) as double:
        url = "https://api.example:8443/v1/time?x=1"
        errand = Errand(kind="http", target="api.example", places=("Tokyo",), probes=2, url=url)
        good, blocked = client(double.url, tmp_path).run(errand).results
    exchange: Any = good.measurement
    assert (exchange.stages.connect.duration_ns, exchange.stages.ttfb.duration_ns) == (30_000_000, 44_000_000)
    assert exchange.stages.connect.error_ns is None and exchange.tls_version == "TLSv1.3"
    assert blocked.measurement.reason is Reason.BLOCKED
    assert good.probe.code != blocked.probe.code
    assert double.asked[0].body["measurementOptions"] == {
        "protocol": "HTTPS", "port": 8443, "request": {"method": "GET", "path": "/v1/time", "query": "x=1"},
    }  # fmt: skip


def test_a_probe_that_failed_is_a_row_and_a_broken_one_a_note(tmp_path: Path) -> None:
    rows = [
        pinged(1.0),
        {
            "probe": PROBE,
            "result": {"status": "failed", "rawOutput": "ping: api.example: Name or service not known"},
        },
        {"probe": PROBE, "result": {"status": "offline", "rawOutput": ""}},
        {"probe": PROBE, "result": {"status": "failed", "rawOutput": "Error: connect ETIMEDOUT 1.0.0.1"}},
        {"probe": PROBE, "result": {"status": "finished", "rawOutput": "", "timings": "many"}},
        pinged(total=3),
    ]
    with served(FakeGlobalping(rows)) as double:
        errand = Errand(kind="ping", target="api.example", places=("Tokyo",), probes=8)
        found = client(double.url, tmp_path).run(errand)
    said = [(each.measurement.outcome, each.measurement.reason) for each in found.results]
    assert said == [
        (Outcome.MEASURED, None), (Outcome.FAILED, Reason.DNS), (Outcome.NOT_MEASURED, Reason.VANTAGE_DOWN),
        (Outcome.FAILED, Reason.TIMEOUT), (Outcome.FAILED, Reason.TIMEOUT),
    ]  # fmt: skip
    assert any("result 5" in note for note in found.notes)
    assert "6 of 8 probes were to be had there" in found.notes


def test_what_never_finishes_is_not_measured_after_a_minute(tmp_path: Path) -> None:
    fake, time = FakeGlobalping([pinged(1.0)]), Time()
    fake.polls_until_finished = 10_000
    with served(fake) as double:
        found = client(double.url, tmp_path, time).run(PING)
    assert found.results[0].measurement.outcome is Outcome.NOT_MEASURED
    assert "1 probes had not finished after 60 s" in found.notes
    assert 59 <= sum(time.waits) <= 61


@pytest.mark.parametrize(
    ("status", "error", "kind", "words"),
    [
        (
            422,
            {"type": "no_probes_found", "message": "No suitable\x1b[31m probes found."},
            Invalid,
            "No suitable",
        ),
        (
            400,
            {"type": "validation_error", "message": "No.", "params": {"target": "bad"}},
            Invalid,
            "target: bad",
        ),
        (401, {"type": "unauthorized", "message": "Unauthorized."}, Unauthenticated, "Unauthorized"),
    ],
)
def test_a_refusal_costs_nothing_and_says_why(
    tmp_path: Path, status: int, error: Any, kind: Any, words: str
) -> None:
    with (
        served(lambda _: (status, {}, {"error": error})) as double,
        pytest.raises(kind, match=words) as raised,
    ):
        client(double.url, tmp_path).run(PING)
    assert "\x1b" not in str(raised.value)
    assert left(tmp_path) == 250


def test_too_many_requests_close_the_ledger_until_the_service_opens_again(tmp_path: Path) -> None:
    fake, time = FakeGlobalping([pinged(1.0)], limit=0), Time()
    with served(fake) as double:
        there = client(double.url, tmp_path, time)
        with pytest.raises(QuotaExceeded) as refused:
            there.run(PING)
        assert refused.value.retry_after_s == 77
        posts = len(double.asked)
        with pytest.raises(QuotaExceeded, match="Try again in 77 s"):
            there.run(PING)
        assert len(double.asked) == posts, "the second one was not even sent"
        time.sleep(78)
        fake.limit = 250
        assert there.run(PING).results


@pytest.mark.parametrize(
    "body", [b"<html>", b"[]", b'{"id": "../../etc", "probesCount": 1}', b'{"id": 1}', b"\xff"]
)
def test_an_answer_of_another_shape_is_named_and_counts_as_spent(tmp_path: Path, body: bytes) -> None:
    with served(lambda _: (202, {}, body)) as double, pytest.raises(SourceError):
        client(double.url, tmp_path).run(PING)
    assert left(tmp_path) == 249


def test_an_ill_service_or_none_counts_as_spent_because_nobody_knows(tmp_path: Path) -> None:
    with served(lambda _: (502, {}, b"bad gateway")) as double, pytest.raises(Unreachable, match="502"):
        client(double.url, tmp_path).run(PING)
    with pytest.raises(Unreachable, match="does not answer"):
        client("http://127.0.0.1:9", tmp_path).run(PING)
    assert left(tmp_path) == 248


def test_trouble_while_waiting_is_waited_out(tmp_path: Path) -> None:
    troubles = iter([(429, {"Retry-After": "7"}, {}), (500, {}, None), (200, {}, b"{"), (404, {}, {})])
    fake, time = FakeGlobalping([pinged(1.0)]), Time()
    fake.polls_until_finished = 1
    with served(lambda asked: (asked.method == "GET" and next(troubles, None)) or fake(asked)) as double:
        found = client(double.url, tmp_path, time).run(PING)
    assert found.results[0].measurement.outcome is Outcome.MEASURED
    assert 7.0 in time.waits


def test_an_endless_answer_is_cut_and_a_redirect_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nettrace.outside.rest.LIMIT_BYTES", 1000)
    with served(lambda _: (200, {}, b" " * 5000)) as double, pytest.raises(SourceError, match="more than"):
        client(double.url, tmp_path).cost(PING)
    with (
        served(lambda _: (302, {"Location": "http://127.0.0.1:9/"}, None)) as double,
        pytest.raises(Invalid, match="302"),
    ):
        client(double.url, tmp_path, NETTRACE_GLOBALPING_TOKEN="t").cost(PING)
    assert double.asked[0].headers["authorization"] == "Bearer t"


def test_silence_and_dripping_are_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = threading.Event()
    monkeypatch.setattr("nettrace.outside.rest.TIMEOUT_S", 0.2)
    with served(lambda _: (200, {}, b"{}" if done.wait(20) else b"")) as double:
        with pytest.raises(Unreachable, match="timed out"):
            client(double.url, tmp_path).run(PING)
        done.set()
    assert left(tmp_path) == 249
    ticks = iter(range(0, 1000, 30))
    with served(lambda _: (200, {}, b"{}")) as double, pytest.raises(Unreachable, match="too slowly"):
        Rest(double.url, {}, clock=lambda: float(next(ticks))).get("/v1/limits")


def test_a_token_never_travels_in_the_clear(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="in the clear"):
        client("http://service.example", tmp_path, NETTRACE_GLOBALPING_TOKEN="t")


@pytest.mark.parametrize("target", ["10.0.0.1", "127.0.0.1", "::1", "192.168.1.1", "db.internal", "intranet"])
def test_strangers_are_told_nothing_of_the_inside(tmp_path: Path, target: str) -> None:
    with served(FakeGlobalping([])) as double:
        with pytest.raises(Invalid):
            client(double.url, tmp_path).cost(Errand(kind="ping", target=target, places=("Tokyo",)))
        assert double.asked == []


def test_many_at_once_never_take_more_than_the_hour_has(tmp_path: Path) -> None:
    """Forty errands of one test each, all at once, twelve an hour: the double counts what reached it."""
    fake = FakeGlobalping([pinged(1.0)], limit=12)
    fake.polls_until_finished = 1
    refused: list[QuotaExceeded] = []

    def one() -> None:
        try:
            client(double.url, tmp_path, NETTRACE_GLOBALPING_TESTS_HOUR="12").run(PING)
        except QuotaExceeded as problem:
            refused.append(problem)

    with served(fake) as double:
        threads = [threading.Thread(target=one) for _ in range(40)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert fake.used == 40 - len(refused)
        assert 1 <= fake.used <= 12
        refused.clear()
        while not refused:  # what was held back in doubt is there again once the service was asked
            client(double.url, tmp_path).cost(PING)
            one()
    posts = [asked for asked in double.asked if asked.method == "POST"]
    assert fake.used == len(posts) == 12, "not one was sent that the service had to refuse"


def test_what_the_service_does_not_do_is_said_before_it_is_asked(tmp_path: Path) -> None:
    with served(FakeGlobalping([])) as double:
        there = client(double.url, tmp_path)
        for errand in (
            Errand(kind="ping", target="api.example", places=("Tokyo",), packets=17),
            Errand(kind="ping", target="api.example", places=("Tokyo",), method=Method.UDP),
            Errand(kind="ping", target="api.example", places=("Tokyo",) * 3, probes=200),
            Errand(kind="http", target="api.example", places=("Tokyo",), url="https://user:pw@api.example/"),
        ):
            with pytest.raises(Invalid):
                there.run(errand)
        assert double.asked == []
