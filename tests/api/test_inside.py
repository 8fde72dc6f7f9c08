"""No place that takes a host or a URL from an account leads into the hub's or a node's own network: every place, every form."""

import socket
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from tests.api.conftest import NOW, Hub

from nettrace.analysis.alerts.rule import ChannelSpec
from nettrace.api.table import OPERATIONS
from nettrace.hub.shelf import POSTED
from nettrace.mcp.desk import TOOLS
from nettrace.outside.notify import channel
from nettrace.outside.notify.channel import Fate, deliver
from nettrace.outside.notify.message import Message, example, notice_document

CLOSED = (
    "127.0.0.1", "0.0.0.0", "10.1.2.3", "172.16.0.1", "192.168.0.1", "169.254.1.1", "169.254.169.254", "100.64.0.1",
    "100.100.100.200", "168.63.129.16", "224.0.0.1", "255.255.255.255", "::1", "::", "fe80::1", "fd00::1", "fd00:ec2::254",
    "ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "2001:db8::1",
)  # fmt: skip
"""Loopback, private, link-local, a cloud's metadata, and each of them carried inside another address."""

TARGET, CHANNEL, MEASURE = "/api/v1/targets/custom", "/api/v1/alerts/channels", "/api/v1/measurements"
PLACES = {
    "a target's host": (TARGET, lambda host: {"host": host}),
    **{
        f"a {kind} channel's url": (
            CHANNEL, lambda host, kind=kind: {"name": "c", "kind": kind, "url": f"http://{bracketed(host)}/x"}
        )
        for kind in POSTED
    },
}  # fmt: skip
"""Where an account names a place in the network."""
TAKEN = {
    ("CustomTargetAsk", "host"), ("ChannelAsk", "url"),  # checked when they are taken, and at each use
    ("CustomTargetAsk", "url"),  # only the host's own: see test_a_targets_url_is_of_its_host
    ("ExportAsk", "hosts"), ("MeasurementAsk", "target"), ("MeasurementAsk", "endpoint"),  # names of what is watched already
    ("RuleAsk", "targets"), ("SilenceAsk", "targets"),  # filters: nobody goes there
}  # fmt: skip
"""Every field of a request's body that is called like a host, an address or a URL."""
_WORDS = (
    "host",
    "url",
    "uri",
    "address",
    "target",
    "server",
    "endpoint",
    "link",
    "source",
    "calendar",
    "file",
    "path",
)


def bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def fields(shape: Any) -> Iterator[tuple[str, str]]:
    """Names of all text fields of a body, with the shape they stand in."""
    waiting, seen = [msgspec.inspect.type_info(shape)], set[type]()
    while waiting:
        info = waiting.pop()
        for name in ("types", "item_types"):
            waiting += getattr(info, name, ())
        waiting += [getattr(info, name) for name in ("item_type", "value_type") if hasattr(info, name)]
        if isinstance(info, msgspec.inspect.StructType) and info.cls not in seen:
            seen.add(info.cls)
            for field in info.fields:
                yield info.cls.__name__, field.encode_name
                waiting.append(field.type)


def test_the_table_of_places_is_complete() -> None:
    found = {
        (shape, name)
        for operation in OPERATIONS
        if operation.body is not None
        for shape, name in fields(operation.body)
        if any(word in name for word in _WORDS)
    }
    assert found == TAKEN, "a new field names a place: check it, and add it here"


def test_assistants_tools_take_hosts_and_no_urls() -> None:
    """`scan` and `diag` go there, and only to what the hub watches (`tests/mcp/test_acts.py`); the others read the store."""
    found = {
        tool.name: name
        for tool in TOOLS
        for _, name in fields(tool.asks)
        if any(word in name for word in _WORDS)
    }
    reads = (
        "latency_summary", "history", "path_at", "list_events", "list_signals", "route_changes", "explain_change", "blame",
        "locate",
    )  # fmt: skip
    asks = {"compare": "hosts", "scan_remote": "target", "scan": "host", "diag": "host"}
    assert found == {**dict.fromkeys(reads, "host"), **asks}


@pytest.mark.parametrize("place", PLACES)
async def test_no_closed_address_is_taken_neither_as_itself_nor_behind_a_name(hub: Hub, place: str) -> None:
    path, body = PLACES[place]
    key = hub.key("enterprise_pro", "acme", scopes=frozenset({"read", "alerts", "targets"}))
    for address in CLOSED:
        hub.names["behind.example.net"] = ["8.8.8.8", address]
        for host in (address, "behind.example.net"):
            answer = await hub.post(path, body(host), headers=key)
            assert (answer.status_code, answer.json()["code"]) == (403, "forbidden-target"), (host, address)
            assert host == address or address not in answer.text, "which address it was is nobody's business"


async def test_a_targets_url_is_of_its_host(hub: Hub) -> None:
    for address in CLOSED:
        body = {"host": "a.example.net", "url": f"http://{bracketed(address)}/"}
        answer = await hub.post(TARGET, body)
        assert answer.status_code in {400, 403}, address


async def test_only_what_is_watched_already_is_measured(hub: Hub) -> None:
    for address in (*CLOSED, "http://127.0.0.1/"):
        answer = await hub.post(MEASURE, {"target": address})
        assert answer.status_code == 404, address


@pytest.mark.parametrize("kind", sorted({"webhook", *channel._KINDS} - {"email", "apprise"}))
def test_a_name_that_changes_its_mind_is_not_posted_to(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[object] = []
    monkeypatch.setattr(socket, "create_connection", lambda *at, **_: opened.append(at))
    monkeypatch.setenv("HOOK", "whsec_c2VjcmV0c2VjcmV0c2VjcmV0")
    spec = ChannelSpec(
        kind=kind, url="http://rebind.example.net/x", secrets=("env:HOOK",), token="env:HOOK", to=("1",)
    )
    message = Message(id="msg_1", document=msgspec.json.decode(notice_document(example(NOW), "A test.")))
    for address in CLOSED:
        there = [(2, 1, 6, "", (address, 80))]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, there=there, **__: there)
        receipt = deliver("c", spec, message, NOW)
        assert (receipt.fate, "leads to" in receipt.detail) == (Fate.FAILED, True), (address, receipt.detail)
    assert opened == []
