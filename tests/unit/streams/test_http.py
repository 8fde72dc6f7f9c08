"""HTTP exchanges: every stage by itself, every ending told as what it is."""

import asyncio
import contextlib
import datetime
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from nettrace.errors import Forbidden, Invalid
from nettrace.measure.streams.conversation import USER_AGENT
from nettrace.measure.streams.http import HttpOptions, exchange
from nettrace.measure.streams.resolve import Family
from nettrace.measure.streams.tls import client_context
from nettrace.model.address import TargetPolicy
from nettrace.model.measurement import Clock, Grade, HttpExchange, Outcome, Reason

PLANTED_S = 0.25
PLANTED_NS = 250_000_000


@pytest.fixture
def ask(run: Callable, trust: Any) -> Callable[..., list[HttpExchange]]:
    """All exchanges of a URL; certificates of the test's authority are trusted unless options say otherwise."""

    def ask(url: str, **options: Any) -> list[HttpExchange]:
        async def all_of_them() -> list[HttpExchange]:
            chosen = {"ca_file": trust.ca_file, "timeout_s": 5.0, "interval_s": 0.0, **options}
            return [one async for one in exchange(url, HttpOptions(**chosen))]

        return run(all_of_them())

    return ask


def answering(answer: bytes, delay_s: float = 0.0) -> Callable[[socket.socket], None]:
    """Answer every request of a connection with these bytes."""

    def handler(connection: socket.socket) -> None:
        while True:
            request = b""
            while not request.endswith(b"\r\n\r\n"):
                part = connection.recv(4096)
                if not part:
                    return
                request += part
            time.sleep(delay_s)
            connection.sendall(answer)

    return handler


def over_tls(
    context: ssl.SSLContext, handler: Callable[[socket.socket], None], delay_s: float = 0.0
) -> Callable[[socket.socket], None]:
    """The handler inside TLS; the server's flight waits for `delay_s`."""

    def wrapped(connection: socket.socket) -> None:
        time.sleep(delay_s)
        with context.wrap_socket(connection, server_side=True) as secure:
            handler(secure)

    return wrapped


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def only(found: list[HttpExchange]) -> HttpExchange:
    assert len(found) == 1
    return found[0]


# What a good exchange says


def test_a_cold_https_exchange_has_every_stage(serve: Callable, ask: Callable, trust: Any) -> None:
    server = serve(over_tls(trust.server(), answering(OK)))
    one = only(ask(f"{server.secure_url}/time?x=1"))
    assert (one.outcome, one.reason, one.detail) == (Outcome.MEASURED, None, None)
    assert (one.status, one.tls_version, one.reused, one.body_bytes) == (200, "TLSv1.3", False, 2)
    assert (one.address, one.target, one.clock) == ("127.0.0.1", "127.0.0.1", Clock.KERNEL)
    stages = one.stages
    assert stages.dns is None  # a literal needs none
    for stage in (stages.connect, stages.tls, stages.ttfb):
        assert stage is not None
        assert stage.grade is Grade.KERNEL
        assert stage.duration_ns > 0
        assert stage.error_ns > 0
    assert stages.tls_client_cpu_ns is not None
    assert stages.total_ns is not None
    parts = sum(stage.duration_ns for stage in (stages.connect, stages.tls, stages.ttfb) if stage)
    assert parts <= stages.total_ns


def test_a_plain_exchange_has_no_tls(serve: Callable, ask: Callable) -> None:
    one = only(ask(serve(answering(OK)).url))
    assert (one.tls_version, one.stages.tls, one.stages.tls_client_cpu_ns) == (None, None, None)
    assert one.stages.first_byte_exact is True


def test_a_name_is_resolved_once_for_all_exchanges(serve: Callable, ask: Callable) -> None:
    server = serve(answering(OK))
    first, second = ask(f"http://localhost:{server.port}/", count=2, family=Family.IPV4)
    assert first.stages.dns is not None
    assert first.stages.dns.grade is Grade.USER
    assert second.stages.dns is None
    assert first.resolved == second.resolved == ("127.0.0.1",)
    assert (first.target, first.address, second.address) == ("localhost", "127.0.0.1", "127.0.0.1")
    assert first.clock is Clock.KERNEL  # the lookup's clock is its own


def test_what_is_sent_says_who_sends_it(serve: Callable, ask: Callable) -> None:
    seen: list[bytes] = []

    def handler(connection: socket.socket) -> None:
        seen.append(connection.recv(4096))
        connection.sendall(OK)

    server = serve(handler)
    ask(f"{server.url}/a%20b?q=é", headers={"X-Key": "1", "accept": "text/plain"})
    lines = seen[0].decode().split("\r\n")
    assert lines[0] == "GET /a%20b?q=%C3%A9 HTTP/1.1"
    headers = {line.split(": ")[0].lower(): line.split(": ")[1] for line in lines[1:] if line}
    assert headers["host"] == f"127.0.0.1:{server.port}"
    assert headers["user-agent"] == USER_AGENT
    assert "+https://" in USER_AGENT
    assert (headers["x-key"], headers["accept"]) == ("1", "text/plain")


def test_the_method_can_be_head(serve: Callable, ask: Callable) -> None:
    one = only(ask(serve(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n")).url, method="HEAD"))
    assert (one.outcome, one.body_bytes) == (Outcome.MEASURED, 0)


def test_an_address_can_be_pinned_under_a_name(serve: Callable, ask: Callable, trust: Any) -> None:
    """The certificate is checked against the name, the packets go to the address."""
    server = serve(over_tls(trust.server("api.example"), answering(OK)))
    one = only(ask(f"https://api.example:{server.port}/", address="127.0.0.1"))
    assert (one.outcome, one.target, one.address, one.stages.dns) == (
        Outcome.MEASURED,
        "api.example",
        "127.0.0.1",
        None,
    )


def test_ipv6(serve: Callable, ask: Callable, trust: Any, has_ipv6: bool) -> None:
    if not has_ipv6:
        pytest.skip("no IPv6 on loopback")
    server = serve(over_tls(trust.server(), answering(OK)), host="::1")
    one = only(ask(server.secure_url))
    assert (one.outcome, one.address, one.clock) == (Outcome.MEASURED, "::1", Clock.KERNEL)
    assert one.target == "::1"


def test_both_families_are_raced_and_the_winner_pinned(
    serve: Callable, ask: Callable, has_ipv6: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name has both; only IPv4 is served: IPv6 is refused and IPv4 carries every exchange."""
    if not has_ipv6:
        pytest.skip("no IPv6 on loopback")
    rows = [(socket.AF_INET6, 1, 6, "", ("::1", 0)), (socket.AF_INET, 1, 6, "", ("127.0.0.1", 0))]
    real = socket.getaddrinfo

    def fake(host: str, *rest: Any, **more: Any) -> Any:
        return rows if host == "both.example" else real(host, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", fake)
    server = serve(answering(OK))
    found = ask(f"http://both.example:{server.port}/", count=2)
    assert [one.address for one in found] == ["127.0.0.1", "127.0.0.1"]
    assert {one.outcome for one in found} == {Outcome.MEASURED}


def test_hints_tell_which_machine_answered(serve: Callable, ask: Callable) -> None:
    answer = (
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nServer: edge\r\nCF-RAY: 8-NRT\r\nSet-Cookie: secret\r\n\r\n"
    )
    one = only(ask(serve(answering(answer)).url))
    assert one.server_hints == {"server": "edge", "cf-ray": "8-NRT"}


# Each delay in its own stage


def in_one_stage(one: HttpExchange, name: str) -> None:
    for other in ("connect", "tls", "ttfb"):
        stage = getattr(one.stages, other)
        if other == name:
            assert stage.duration_ns >= PLANTED_NS - stage.error_ns
        elif stage is not None:
            assert stage.duration_ns < PLANTED_NS, f"{name}'s delay leaked into {other}"
    assert one.stages.total_ns is not None
    assert one.stages.total_ns >= PLANTED_NS


def test_a_slow_handshake_is_the_tls_stage_s(serve: Callable, ask: Callable, trust: Any) -> None:
    server = serve(over_tls(trust.server(), answering(OK), delay_s=PLANTED_S))
    in_one_stage(only(ask(server.secure_url)), "tls")


def test_a_slow_answer_is_the_first_byte_s(serve: Callable, ask: Callable, trust: Any) -> None:
    server = serve(over_tls(trust.server(), answering(OK, delay_s=PLANTED_S)))
    in_one_stage(only(ask(server.secure_url)), "ttfb")


def test_a_slow_body_is_only_the_total_s(serve: Callable, ask: Callable) -> None:
    def handler(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nok")
        time.sleep(PLANTED_S)
        connection.sendall(b"ok")

    in_one_stage(only(ask(serve(handler).url)), "total")


def test_a_slow_handshake_of_tls_1_2_is_the_tls_stage_s(serve: Callable, ask: Callable, trust: Any) -> None:
    context = trust.server()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    one = only(ask(serve(over_tls(context, answering(OK), delay_s=PLANTED_S)).secure_url))
    assert one.tls_version == "TLSv1.2"
    in_one_stage(one, "tls")


def test_this_program_s_own_stall_is_in_no_stage(serve: Callable, trust: Any, run: Callable) -> None:
    """The loop is blocked again and again while the exchange runs; the wire figures stay the wire's."""
    server = serve(over_tls(trust.server(), answering(OK)))

    async def stalled() -> HttpExchange:
        loop = asyncio.get_running_loop()
        hogging = True

        def hog() -> None:
            if hogging:
                time.sleep(PLANTED_S)
                loop.call_soon(hog)  # in every turn of the loop

        hog()
        found = [one async for one in exchange(server.secure_url, HttpOptions(ca_file=trust.ca_file))]
        hogging = False
        return only(found)

    one = run(stalled())
    assert one.outcome is Outcome.MEASURED
    for stage in (one.stages.connect, one.stages.tls, one.stages.ttfb):
        assert stage is not None
        assert stage.grade is Grade.KERNEL
        assert stage.duration_ns < PLANTED_NS
    assert (one.stages.total_ns or 0) > PLANTED_NS


def test_the_first_byte_is_on_the_wire_not_out_of_the_decoder(
    serve: Callable, ask: Callable, trust: Any
) -> None:
    """A record of 16 kB can be decrypted only when it is complete; its first byte came long before."""

    def slow_record(connection: socket.socket) -> None:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        secure = trust.server().wrap_bio(incoming, outgoing, server_side=True)

        def until_done(step: Callable[[], Any]) -> None:
            while True:
                with contextlib.suppress(ssl.SSLWantReadError):
                    step()
                    return
                connection.sendall(outgoing.read())
                incoming.write(connection.recv(65_536))

        until_done(secure.do_handshake)
        until_done(lambda: secure.read(4096))
        connection.sendall(outgoing.read())  # the session tickets
        secure.write(b"HTTP/1.1 200 OK\r\nContent-Length: 12000\r\n\r\n" + b"x" * 12_000)
        record = outgoing.read()
        connection.sendall(record[:5000])
        time.sleep(PLANTED_S)
        connection.sendall(record[5000:])

    in_one_stage(only(ask(serve(slow_record).secure_url)), "total")


# Connections kept


def test_keepalive_asks_again_on_the_same_connection(serve: Callable, ask: Callable, trust: Any) -> None:
    server = serve(over_tls(trust.server(), answering(OK)))
    first, second, third = ask(server.secure_url, count=3, keepalive=True)
    assert [one.reused for one in (first, second, third)] == [False, True, True]
    assert first.stages.tls is not None
    for one in (second, third):
        assert (one.stages.dns, one.stages.connect, one.stages.tls) == (None, None, None)
        assert one.stages.ttfb is not None
        assert (one.tls_version, one.clock) == ("TLSv1.3", Clock.KERNEL)
    assert server.connections == 1


def test_cold_exchanges_connect_every_time(serve: Callable, ask: Callable) -> None:
    server = serve(answering(OK))
    assert [one.reused for one in ask(server.url, count=3)] == [False] * 3
    assert server.connections == 3


def test_a_server_that_closes_between_requests_is_reached_anew(serve: Callable, ask: Callable) -> None:
    def once(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.setsockopt(
            socket.IPPROTO_TCP, socket.TCP_CORK, 1
        )  # the end comes in the answer's own segment
        connection.sendall(OK)

    server = serve(once)
    found = ask(server.url, count=2, keepalive=True, interval_s=0.05)
    assert [(one.outcome, one.reused) for one in found] == [(Outcome.MEASURED, False)] * 2
    assert server.connections == 2


def test_connection_close_is_obeyed(serve: Callable, ask: Callable) -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    found = ask(serve(answering(answer)).url, count=2, keepalive=True)
    assert [one.reused for one in found] == [False, False]


# Shapes of answers


def test_chunked(serve: Callable, ask: Callable) -> None:
    answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    one = only(ask(serve(answering(answer)).url))
    assert (one.outcome, one.body_bytes) == (Outcome.MEASURED, 5)


def test_a_body_that_ends_with_the_connection(serve: Callable, ask: Callable) -> None:
    def handler(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(b"HTTP/1.0 200 OK\r\n\r\nabc")

    one = only(ask(serve(handler).url))
    assert (one.outcome, one.body_bytes) == (Outcome.MEASURED, 3)
    assert one.stages.total_ns is not None


def test_early_hints_are_a_first_byte_but_not_the_status(serve: Callable, ask: Callable) -> None:
    one = only(ask(serve(answering(b"HTTP/1.1 103 Early Hints\r\n\r\n" + OK)).url))
    assert (one.outcome, one.status) == (Outcome.MEASURED, 200)


def test_a_first_answer_of_several_segments_is_not_exact(serve: Callable, run: Callable) -> None:
    """Both segments are there before the client looks: its loop is held up until they have been sent."""
    loops: list[asyncio.AbstractEventLoop] = []
    held, sent = threading.Event(), threading.Event()

    def hold() -> None:
        held.set()
        sent.wait(10)

    def handler(connection: socket.socket) -> None:
        connection.recv(4096)
        loops[0].call_soon_threadsafe(hold)
        held.wait(10)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
        time.sleep(0.02)  # so that the kernel makes two segments of it
        connection.sendall(b"ok")
        sent.set()
        connection.recv(1)

    server = serve(handler)

    async def one_exchange() -> HttpExchange:
        loops.append(asyncio.get_running_loop())
        return only([one async for one in exchange(server.url)])

    one = run(one_exchange())
    assert (one.outcome, one.body_bytes, one.stages.first_byte_exact) == (Outcome.MEASURED, 2, False)


def test_a_body_that_is_too_long_is_cut(serve: Callable, ask: Callable) -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n" + b"x" * 300_000
    one = only(ask(serve(answering(answer)).url, max_body_bytes=1000))
    assert (one.outcome, one.status, one.stages.total_ns) == (Outcome.MEASURED, 200, None)
    assert "cut after 1000 bytes" in (one.detail or "")


def test_a_redirect_is_reported_not_followed(serve: Callable, ask: Callable) -> None:
    answer = b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/elsewhere\r\nContent-Length: 0\r\n\r\n"
    one = only(ask(serve(answering(answer)).url))
    assert (one.outcome, one.status) == (Outcome.MEASURED, 302)
    assert one.server_hints["location"] == "http://127.0.0.1:1/elsewhere"


@pytest.mark.parametrize(
    ("status", "outcome", "reason"),
    [
        (200, Outcome.MEASURED, None),
        (404, Outcome.MEASURED, None),
        (429, Outcome.MEASURED, None),
        (403, Outcome.FAILED, Reason.BLOCKED),
        (451, Outcome.FAILED, Reason.BLOCKED),
        (500, Outcome.FAILED, Reason.HTTP),
        (503, Outcome.FAILED, Reason.HTTP),
    ],
)
def test_what_a_status_means(
    status: int, outcome: Outcome, reason: Reason | None, serve: Callable, ask: Callable
) -> None:
    one = only(ask(serve(answering(b"HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n" % status)).url))
    assert (one.outcome, one.reason, one.status) == (outcome, reason, status)
    assert one.stages.ttfb is not None  # it was measured, whatever it means
    assert one.stages.total_ns is not None


# Endings that are not answers


def test_refused(ask: Callable, closed_port: int) -> None:
    one = only(ask(f"http://127.0.0.1:{closed_port}/"))
    assert (one.outcome, one.reason, one.status) == (Outcome.FAILED, Reason.REFUSED, None)
    assert one.stages.connect is None
    assert one.address == "127.0.0.1"


def test_silence_while_connecting(ask: Callable, deaf_port: int) -> None:
    one = only(ask(f"http://127.0.0.1:{deaf_port}/", timeout_s=0.2))
    assert (one.outcome, one.reason) == (Outcome.FAILED, Reason.TIMEOUT)
    assert "while connecting" in (one.detail or "")


def test_silence_in_the_handshake(serve: Callable, ask: Callable) -> None:
    one = only(ask(serve(lambda connection: [connection.recv(9000) for _ in "ab"]).secure_url, timeout_s=0.2))
    assert (one.outcome, one.reason) == (Outcome.FAILED, Reason.TIMEOUT)
    assert "TLS handshake" in (one.detail or "")
    assert one.stages.connect is not None
    assert one.stages.tls is None


def test_silence_after_the_request(serve: Callable, ask: Callable) -> None:
    one = only(ask(serve(lambda connection: [connection.recv(9000) for _ in "ab"]).url, timeout_s=0.2))
    assert (one.outcome, one.reason) == (Outcome.FAILED, Reason.TIMEOUT)
    assert "first byte" in (one.detail or "")
    assert one.stages.ttfb is None


def test_a_slow_drip_ends_with_the_deadline(serve: Callable, ask: Callable) -> None:
    def drip(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        for _ in range(1000):
            connection.sendall(b".")
            time.sleep(0.01)

    one = only(ask(serve(drip).url, timeout_s=0.3))
    assert (one.outcome, one.reason, one.status) == (Outcome.FAILED, Reason.TIMEOUT, 200)
    assert "reading the answer" in (one.detail or "")
    assert one.stages.ttfb is not None
    assert one.stages.total_ns is None


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"", "without an answer"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", "the answer is broken"),
        (b"HTTP/1.1 200 OK\r\nContent-", "not HTTP/1.1"),
        (b"\x00\xff garbage\r\n\r\n", "not HTTP/1.1"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "not HTTP/1.1"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "the answer is broken"),
    ],
)
def test_what_is_no_answer(answer: bytes, words: str, serve: Callable, ask: Callable) -> None:
    def handler(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(answer)

    one = only(ask(serve(handler).url))
    assert (one.outcome, one.reason) == (Outcome.FAILED, Reason.HTTP)
    assert words in (one.detail or "")


def test_a_reset_in_the_middle(serve: Callable, ask: Callable) -> None:
    def reset(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n")
        time.sleep(0.05)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    one = only(ask(serve(reset).url))
    assert (one.outcome, one.reason, one.status) == (Outcome.FAILED, Reason.HTTP, 200)
    assert "reset" in (one.detail or "")


def test_a_name_that_does_not_exist(ask: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "planted")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    one = only(ask("https://gone.example/"))
    assert (one.outcome, one.reason, one.address) == (Outcome.FAILED, Reason.DNS, None)
    assert "does not exist" in (one.detail or "")


# Certificates


def failed_tls(one: HttpExchange, words: str) -> None:
    assert (one.outcome, one.reason, one.status, one.stages.tls) == (Outcome.FAILED, Reason.TLS, None, None)
    assert words in (one.detail or "")
    assert one.stages.connect is not None


def test_expired(serve: Callable, ask: Callable, trust: Any) -> None:
    yesterday = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
    context = trust.server(not_before=yesterday - datetime.timedelta(days=1), not_after=yesterday)
    failed_tls(only(ask(serve(over_tls(context, answering(OK))).secure_url)), "certificate has expired")


def test_another_host_s(serve: Callable, ask: Callable, trust: Any) -> None:
    server = serve(over_tls(trust.server("other.example"), answering(OK)))
    failed_tls(only(ask(server.secure_url)), "IP address mismatch")
    named = only(ask(f"https://api.example:{server.port}/", address="127.0.0.1"))
    failed_tls(named, "Hostname mismatch")


def test_an_unknown_authority(serve: Callable, ask: Callable, trust: Any) -> None:
    server = serve(over_tls(trust.server(), answering(OK)))
    failed_tls(only(ask(server.secure_url, ca_file=None)), "unable to get local issuer certificate")


def test_insecure_looks_away(serve: Callable, ask: Callable, trust: Any) -> None:
    server = serve(over_tls(trust.server("other.example"), answering(OK)))
    one = only(ask(server.secure_url, ca_file=None, insecure=True))
    assert (one.outcome, one.status) == (Outcome.MEASURED, 200)


def test_no_tls_on_this_port(serve: Callable, ask: Callable) -> None:
    def plain(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    failed_tls(only(ask(serve(plain).secure_url)), "does not speak TLS")


def test_closed_in_the_handshake(serve: Callable, ask: Callable) -> None:
    failed_tls(only(ask(serve(lambda connection: connection.recv(9000)).secure_url)), "closed the connection")


def test_reset_in_the_handshake(serve: Callable, ask: Callable) -> None:
    def reset(connection: socket.socket) -> None:
        connection.recv(9000)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    failed_tls(only(ask(serve(reset).secure_url)), "reset")


@pytest.mark.parametrize("content", [None, b"no certificate here"])
def test_a_ca_file_that_is_none(content: bytes | None, tmp_path: Any) -> None:
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(Invalid, match=r"ca\.pem"):
        client_context(ca_file=str(path))


# Requests that cannot be


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("api.example", "does not begin with http:// or https://"),
        ("ftp://api.example/", "does not begin with"),
        ("http:/api.example/", "does not begin with"),
        ("http://", "names no host"),
        ("http://user:secret@api.example/", "carries a user name or password"),
        ("http://api.example:99999/", "is not a URL"),
        ("http://api.example:0/", "names no port"),
        ("http://[::1/", "is not a URL"),
        ("http://a b/", "spaces"),
        ("http://api.example/\r\nX: y", "control characters"),
        ("http://a..b/", "is not a host name"),
    ],
)
def test_urls_that_are_none_are_refused_with_a_clear_text(url: str, words: str, ask: Callable) -> None:
    with pytest.raises(Invalid) as caught:
        ask(url)
    assert words in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "options",
    [
        {"count": 0},
        {"timeout_s": 0.0},
        {"method": "CONNECT"},
        {"headers": {"X": "a\r\nb"}},
        {"address": "api.example"},
    ],
)
def test_options_that_cannot_be(options: dict[str, Any], ask: Callable) -> None:
    with pytest.raises(Invalid):
        ask("http://127.0.0.1:1/", **options)


def test_the_policy_holds_for_literals_names_and_pins(ask: Callable) -> None:
    for url, options in (
        ("http://127.0.0.1:1/", {}),
        ("http://localhost:1/", {}),
        ("http://8.8.8.8/", {"address": "169.254.169.254"}),
    ):
        with pytest.raises(Forbidden):
            ask(url, policy=TargetPolicy.for_others(), **options)


def test_without_kernel_stamps_every_stage_says_so(serve: Callable, ask: Callable, trust: Any) -> None:
    one = only(ask(serve(over_tls(trust.server(), answering(OK))).secure_url, kernel_stamps=False))
    assert (one.outcome, one.clock) == (Outcome.MEASURED, Clock.USER)
    for stage in (one.stages.connect, one.stages.tls, one.stages.ttfb):
        assert stage is not None
        assert stage.grade is Grade.USER


def test_leaving_in_the_middle_closes_the_connection(serve: Callable, run: Callable) -> None:
    ended = threading.Event()

    def handler(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(OK)
        while connection.recv(4096):
            pass
        ended.set()

    server = serve(handler)

    async def first_only() -> None:
        rounds = exchange(server.url, HttpOptions(count=5, keepalive=True, interval_s=60))
        async with contextlib.aclosing(rounds):
            async for one in rounds:
                assert one.outcome is Outcome.MEASURED
                return

    run(first_only())
    assert ended.wait(10)
