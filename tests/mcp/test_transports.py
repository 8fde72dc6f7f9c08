"""The command as it is run: over stdio by the official client, over HTTP with keys, names and a clean end."""

import asyncio
import re
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest
from click.testing import CliRunner
from mcp.client.stdio import StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from tests.mcp.conftest import EVERYTHING, World, document, text

from mcp import Client
from nettrace.cli.commands.mcp import command
from nettrace.hub import keyring, keys
from nettrace.hub.open import open_reader, open_writer
from nettrace.mcp.desk import TOOLS
from nettrace.model.account import Scope

PATIENCE_S = 60
LIST: dict[str, Any] = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
ACCEPT = {"Accept": "application/json, text/event-stream"}


async def test_a_session_over_stdio_begins_answers_and_ends(world: World) -> None:
    run = ["-m", "nettrace", "mcp", "--data", str(world.data.folder), "--scope", "measure"]
    async with (
        asyncio.timeout(PATIENCE_S),
        Client(StdioServerParameters(command=sys.executable, args=run)) as client,
    ):
        listed = {each.name for each in (await client.list_tools()).tools}
        assert listed == {tool.name for tool in TOOLS if tool.scope is not Scope.FLEET}
        found = document(await client.call_tool("find_target", {"text": "equities"}))
        assert [row["host"] for row in found["rows"]] == ["engine.example.com", "gone.example.com"]
        wrong = await client.call_tool("latency_summary", {"host": "nobody\x1b[2J\nhere"})
        assert wrong.is_error
        assert text(wrong).startswith("not-found: no target")
        assert text(wrong).isprintable()


async def test_stdin_closed_or_a_signal_ends_the_server() -> None:
    for way in ("eof", "signal"):
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "nettrace", "mcp", "--hub", "http://127.0.0.1:9",
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        async with asyncio.timeout(PATIENCE_S):
            process.stdin.write(b'{"jsonrpc":"2.0","id":1,"method":"ping"}\n')
            await process.stdin.drain()
            assert b'"id":1' in await process.stdout.readline()
            if way == "eof":
                process.stdin.close()
            else:
                process.send_signal(signal.SIGTERM)
            _, said = await process.communicate()
        assert (process.returncode, said) == ({"eof": 0, "signal": 130}[way], b"")


@asynccontextmanager
async def served(world: World, *options: str) -> AsyncIterator[str]:
    """The server over HTTP; its address."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "nettrace", "mcp", "--http", "127.0.0.1:0", "--data", str(world.data.folder), *options,
        stderr=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    assert process.stderr is not None
    try:
        async with asyncio.timeout(PATIENCE_S):
            line = (await process.stderr.readline()).decode()
            found = re.search(r"http://127\.0\.0\.1:\d+/mcp", line)
            assert found, line
            yield found[0]
    finally:
        process.terminate()
        _, said = await asyncio.wait_for(process.communicate(), PATIENCE_S)
        assert process.returncode in (0, 130), said
        assert b"\x1b" not in said


async def listed(client: httpx2.AsyncClient, url: str, **headers: str) -> httpx2.Response:
    return await client.post(url, json=LIST, headers={**ACCEPT, **headers})


@asynccontextmanager
async def speaking(url: str, secret: str) -> AsyncIterator[Client]:
    """The official client with a key."""
    async with (
        httpx2.AsyncClient(headers={"Authorization": f"Bearer {secret}"}, timeout=PATIENCE_S) as keyed,
        Client(streamable_http_client(url, http_client=keyed)) as session,
    ):
        yield session


def names(answer: httpx2.Response) -> set[str]:
    assert answer.status_code == 200, answer.text
    return {each["name"] for each in answer.json()["result"]["tools"]}


async def test_http_knows_keys_scopes_tiers_quota_and_names_and_writes_everything_down(world: World) -> None:
    free = world.key("free", scopes=frozenset({Scope.READ}))
    full = world.key(scopes=EVERYTHING)
    async with served(world) as url, httpx2.AsyncClient(timeout=PATIENCE_S) as client:
        for headers in ({}, {"Authorization": "Bearer nt_live_" + "0" * 36}, {"Authorization": "Basic eA=="}):
            refused = await listed(client, url, **headers)
            assert (refused.status_code, refused.json()["code"]) == (401, "unauthenticated")
            assert refused.headers["www-authenticate"].startswith("Bearer")
        assert names(await listed(client, url, Authorization=f"Bearer {full}")) == {
            tool.name for tool in TOOLS
        }
        few = names(await listed(client, url, **{"X-API-Key": free}))
        assert not few & {
            "query",
            "locate",
            "scan",
            "drain",
            "machines",
            "diag",
            "compare",
            "list_signals",
            "path_at",
        }
        assert {"overview", "history", "rank"} <= few

        named = await listed(client, url, Authorization=f"Bearer {full}", Host="evil.example")
        assert (named.status_code, named.json()["code"]) == (421, "misdirected")
        for origin in ("https://evil.example", "http://localhost:3000", "null"):
            page = await listed(client, url, Authorization=f"Bearer {full}", Origin=origin)
            assert (page.status_code, page.json()["code"]) == (403, "origin")

        async with speaking(url, full) as session:
            assert document(await session.call_tool("limits"))["tier"] == "enterprise"
            assert document(await session.call_tool("query", {"sql": "select 1 as one"}))["rows"] == [[1]]
        async with speaking(url, free) as session:
            spent = document(await session.call_tool("limits"))["rows"]
            assert next(row for row in spent if row["name"] == "daily")["used"] == 1
            denied = await session.call_tool("drain", {"machine": "nyc"})
            assert text(denied).startswith("not-allowed")

        revoke(world, full)
        gone = await listed(client, url, Authorization=f"Bearer {full}")
        assert (gone.status_code, "revoked" in gone.json()["detail"]) == (401, True)
    lines = [line for line in world.audit() if line.action != "key.revoke"]
    assert {(line.action, line.outcome) for line in lines} == {
        ("mcp.limits", "done"), ("mcp.query", "done"), ("mcp.drain", "not-allowed"),
    }  # fmt: skip
    assert all(line.actor.startswith("mcp:key_") for line in lines)


def revoke(world: World, secret: str) -> None:
    reader, store = open_reader(world.data), open_writer(world.data)
    key = reader.key(keys.digest(secret))
    assert key is not None
    keyring.revoke(store, reader, key.id, time.time_ns())
    reader.close()
    store.close()


async def test_without_keys_the_machines_user_has_what_was_allowed_until_the_first_key(world: World) -> None:
    async with served(world, "--scope", "read") as url, httpx2.AsyncClient(timeout=PATIENCE_S) as client:
        assert names(await listed(client, url)) == {tool.name for tool in TOOLS if tool.scope is Scope.READ}
        world.key()
        assert (await listed(client, url)).status_code == 401


@pytest.mark.parametrize(
    "options", [["--hub", "http://x", "--data", "."], ["--hub", "http://x", "--http", "127.0.0.1:0"]]
)
def test_ways_that_exclude_each_other_are_a_usage_error(options: list[str]) -> None:
    answer = CliRunner().invoke(command, options)
    assert (answer.exit_code, "goes with neither" in answer.output) == (2, True)


@pytest.mark.parametrize(("missing", "extra"), [("mcp", "mcp"), ("apsw", "hub")])
async def test_a_part_that_is_not_installed_is_named(missing: str, extra: str) -> None:
    code = f"import sys; sys.modules['{missing}'] = None; from nettrace.cli.root import main; main()"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, "mcp", stderr=asyncio.subprocess.PIPE
    )
    _, said = await asyncio.wait_for(process.communicate(), PATIENCE_S)
    assert process.returncode == 2
    assert f"pip install 'nettrace[{extra}]'".encode() in said
