"""Names to addresses: once, pinned, and every change noted."""

import asyncio
import socket
import threading
import time
from collections.abc import Callable

import pytest

from nettrace.errors import Forbidden, Invalid
from nettrace.measure.streams import resolve as module
from nettrace.measure.streams.resolve import AddressBook, Family, Resolution, ascii_host, literal, resolve
from nettrace.model.address import TargetPolicy
from nettrace.model.measurement import Grade, Outcome, Reason


def answering(monkeypatch: pytest.MonkeyPatch, addresses: list[str]) -> list[str]:
    """Let the system's resolver know these addresses for every name; the names asked are noted."""
    asked: list[str] = []

    def fake(host: str, port: object, *, family: int = 0, **_: object) -> list[tuple[object, ...]]:
        asked.append(host)
        return [
            (socket.AF_INET6 if ":" in address else socket.AF_INET, 1, 6, "", (address, 0))
            for address in addresses
            if family in {socket.AF_UNSPEC, socket.AF_INET6 if ":" in address else socket.AF_INET}
        ]

    monkeypatch.setattr(socket, "getaddrinfo", fake)
    return asked


def test_a_literal_needs_no_resolver(run: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = answering(monkeypatch, [])
    found = run(resolve("198.18.0.1"))
    assert (found.addresses, found.via, found.stage) == (("198.18.0.1",), "literal", None)
    assert run(resolve("[2001:db8::1]")).addresses == ("2001:db8::1",)
    assert asked == []


def test_a_literal_of_the_other_family_is_a_failed_lookup(run: Callable) -> None:
    found = run(resolve("198.18.0.1", Family.IPV6))
    assert (found.outcome, found.reason, found.addresses) == (Outcome.FAILED, Reason.DNS, ())


def test_localhost_comes_from_the_system(run: Callable) -> None:
    found = run(resolve("localhost", Family.IPV4))
    assert found.addresses == ("127.0.0.1",)
    assert found.via == "system"
    assert found.stage is not None
    assert found.stage.grade is Grade.USER
    assert found.stage.error_ns > 0


def test_one_family_or_both(run: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch, ["2001:db8::1", "198.18.0.1"])
    found = run(resolve("a.example"))
    assert found.addresses == ("2001:db8::1", "198.18.0.1")
    assert found.of_family(Family.IPV4) == ("198.18.0.1",)
    assert run(resolve("a.example", Family.IPV6)).addresses == ("2001:db8::1",)


def test_duplicates_are_dropped_and_the_order_kept(run: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch, ["198.18.0.2", "198.18.0.1", "198.18.0.2"])
    assert run(resolve("a.example")).addresses == ("198.18.0.2", "198.18.0.1")


def test_international_names_are_asked_in_ascii(run: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = answering(monkeypatch, ["198.18.0.1"])
    assert run(resolve("Bücher.example")).host == "Bücher.example"
    assert asked == ["xn--bcher-kva.example"]


@pytest.mark.parametrize(
    "host", ["", ".", "a..b", "a" * 64, "a b", "a/b", "x" * 300, "ex!ample", "a\0b", "%", "é" * 64]
)
def test_what_cannot_be_a_name_is_refused_with_a_clear_text(host: str, run: Callable) -> None:
    with pytest.raises(Invalid, match="is not a host name"):
        run(resolve(host))


@pytest.mark.parametrize("host", ["a", "a-b.c_d.example", "A.EXAMPLE.", "123.example"])
def test_ordinary_names_pass(host: str) -> None:
    assert ascii_host(host) == host.lower()


@pytest.mark.parametrize(
    ("text", "address"), [("::1", "::1"), ("[::1]", "::1"), ("1.2.3.4", "1.2.3.4"), ("1.2.3", None)]
)
def test_literals(text: str, address: str | None) -> None:
    assert literal(text) == address


@pytest.mark.parametrize(
    ("code", "words"), [(socket.EAI_NONAME, "does not exist"), (socket.EAI_AGAIN, "no resolver answered")]
)
def test_a_failed_lookup_is_data(
    code: int, words: str, run: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise socket.gaierror(code, "planted")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    found = run(resolve("gone.example"))
    assert (found.outcome, found.reason, found.addresses) == (Outcome.FAILED, Reason.DNS, ())
    assert words in (found.detail or "")


def test_a_dead_resolver_costs_its_own_target_the_timeout_and_others_nothing(
    run: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = threading.Event()

    def hang(host: str, *_: object, **__: object) -> list[tuple[object, ...]]:
        if host.startswith("dead"):
            release.wait(20)
            raise socket.gaierror(socket.EAI_AGAIN, "planted")
        return [(socket.AF_INET, 1, 6, "", ("198.18.0.1", 0))]

    monkeypatch.setattr(socket, "getaddrinfo", hang)

    async def all_at_once() -> list[Resolution]:
        names = [f"dead{number}.example" for number in range(20)] + ["alive.example"]
        return await asyncio.gather(*(resolve(name, timeout_s=0.2) for name in names))

    found = run(all_at_once())
    release.set()
    assert found[-1].addresses == ("198.18.0.1",)
    assert {each.reason for each in found[:-1]} == {Reason.DNS}
    assert "within 0.2 s" in (found[0].detail or "")


def test_too_many_stuck_lookups_are_our_own_failing(run: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_slots", threading.BoundedSemaphore(1))
    assert module._slots.acquire()
    found = run(resolve("a.example"))
    assert (found.outcome, found.reason) == (Outcome.NOT_MEASURED, Reason.DNS)


def test_the_policy_sees_the_resolved_address(run: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch, ["8.8.8.8", "10.0.0.1"])
    with pytest.raises(Forbidden, match=r"rebind.example \(10.0.0.1\)"):
        run(resolve("rebind.example", policy=TargetPolicy.for_others()))
    with pytest.raises(Forbidden):
        run(resolve("127.0.0.1", policy=TargetPolicy.for_others()))


def resolution(host: str, *addresses: str, at: int = 0) -> Resolution:
    return Resolution(host=host, addresses=addresses, at=at, via="system")


def test_a_cdn_that_moves_you_is_a_fact() -> None:
    book = AddressBook()
    assert book.record(resolution("a.example", "198.18.0.1", "198.18.0.2")) is None
    assert book.record(resolution("a.example", "198.18.0.2", "198.18.0.1", at=1)) is None
    change = book.record(resolution("a.example", "198.18.0.2", "198.18.0.3", at=2))
    assert change is not None
    assert (change.at, change.added, change.removed) == (2, ("198.18.0.3",), ("198.18.0.1",))
    assert book.changes("a.example") == (change,)
    assert book.current("a.example") == resolution("a.example", "198.18.0.2", "198.18.0.3", at=2)


def test_a_failed_lookup_changes_nothing() -> None:
    book = AddressBook()
    book.record(resolution("a.example", "198.18.0.1"))
    assert book.record(resolution("a.example")) is None
    assert book.record(resolution("a.example", "198.18.0.1", at=9)) is None
    assert book.changes("a.example") == ()


def test_the_book_forgets_the_oldest_changes() -> None:
    book = AddressBook(remember=2)
    for number in range(5):
        book.record(resolution("a.example", f"198.18.0.{number}", at=number))
    assert [change.at for change in book.changes("a.example")] == [3, 4]


def test_the_answer_of_an_abandoned_lookup_disturbs_nobody(
    run: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = threading.Event()

    def slow(*_: object, **__: object) -> list[tuple[object, ...]]:
        time.sleep(0.1)  # longer than its loop lives
        done.set()
        return []

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    assert run(resolve("a.example", timeout_s=0.01)).reason is Reason.DNS
    assert done.wait(10)
    for thread in threading.enumerate():
        if thread.name == "resolve":
            thread.join(10)
