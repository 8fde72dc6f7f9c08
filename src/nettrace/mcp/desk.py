"""Where every call of a tool passes: who asks, may they, what it costs, what is written down, how large the answer is."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import msgspec
from mcp_types import CallToolResult, TextContent
from mcp_types import Tool as Listed

from nettrace.errors import Invalid, NetTraceError, NotAllowed, NotFound
from nettrace.hub.access import OWNER, Access, Caller
from nettrace.hub.open import writer
from nettrace.mcp import changes, fleet, judgements, measuring, operating, reads
from nettrace.mcp.confirm import LASTS_S, Confirmations
from nettrace.mcp.plain import BYTES_PER_TOKEN, Document, fitted, plain, plain_values, size
from nettrace.mcp.port import Hub
from nettrace.mcp.stored import Stored
from nettrace.mcp.tool import Call, Tool
from nettrace.model.account import Scope
from nettrace.model.instant import NS_PER_S, Instant, rfc3339
from nettrace.runtime.logs import redacted
from nettrace.store.rows import Audit

TOOLS: tuple[Tool, ...] = (
    *reads.TOOLS, *changes.TOOLS, *judgements.TOOLS, *measuring.TOOLS, *operating.TOOLS, *fleet.TOOLS,
)  # fmt: skip
DEFAULT_TOKENS, DETAIL_TOKENS = 2000, 8000
MOST_ARGUMENT_BYTES = 200_000
MORE = "More rows were left out: narrow the question, or ask with detail or a larger limit."
_ENVELOPE_BYTES = 700
_SAID_CHARACTERS = 600
_log = logging.getLogger("nettrace.mcp")


class Desk:
    """The tools over one hub, or none.

    Args:
        hub: what is asked; None leaves only the tools that need none.
        access: decides and counts for callers with keys; None when the only caller is this machine's user.
        scopes: what this machine's user allows the assistant.
        audited: every call is written down; else only those that measure or change.
    """

    def __init__(
        self, hub: Hub | None, access: Access | None, *, now: Callable[[], Instant],
        scopes: frozenset[Scope] = frozenset({Scope.READ}), audited: bool = False,
    ) -> None:  # fmt: skip
        self.hub = hub
        self.now = now
        self.owner = msgspec.structs.replace(OWNER, scopes=scopes | {Scope.READ})
        self._access = access
        self._audited = audited
        self._confirmations = Confirmations()
        self._auditing = asyncio.Lock()

    async def close(self) -> None:
        """Let go of the hub."""
        if self.hub is not None:
            await self.hub.close()

    async def listed(self, caller: Caller) -> list[Listed]:
        """The tools this caller may call."""
        there = await self._there(caller)
        return [tool.listed() for tool in TOOLS if self._allowed(tool, caller, there)]

    async def _there(self, caller: Caller) -> frozenset[Scope]:
        return frozenset() if self.hub is None else await self.hub.scopes(caller)

    def _allowed(self, tool: Tool, caller: Caller, there: frozenset[Scope]) -> bool:
        if tool.needs and self.hub is None:
            return False
        if tool.needs == "folder" and not isinstance(self.hub, Stored):
            return False
        if tool.operator and caller.key is not None and Scope.FLEET not in caller.scopes:
            return False
        scopes = caller.scopes & there if tool.needs else caller.scopes
        return tool.scope in scopes and (tool.feature is None or tool.feature in caller.tier.features)

    async def call(self, name: str, arguments: Document, caller: Caller) -> CallToolResult:
        """What a tool answers. Whatever goes wrong is an answer that says so, never an exception."""
        try:
            tool, asked = await self._admitted(name, arguments, caller)
        except NetTraceError as error:
            await self._refused(name, caller, error)
            return _wrong(error)
        try:
            if tool.scope is not Scope.READ:
                await self._write_down(caller, tool.name, asked, "allowed")
            document, said = await self._answered(tool, asked, caller)
            if tool.scope is Scope.READ:
                await self._write_down(caller, tool.name, asked, "done")
        except NetTraceError as error:
            await self._refused(tool.name, caller, error)
            return _wrong(error)
        except (
            Exception
        ) as error:  # the supervisor of tools: one that breaks must not take the session with it
            _log.error("tool %s broke", tool.name, exc_info=error)
            return _wrong(
                NetTraceError("something broke here", "Tell the operator; the log of this server says where")
            )
        return CallToolResult(content=[TextContent(text=said)], structured_content=document)

    async def _admitted(self, name: str, arguments: Document, caller: Caller) -> tuple[Tool, Any]:
        """The tool and its arguments, checked, counted."""
        if self._access is not None:
            self._access.charge(caller, self.now())
        tool = _named(name)
        if tool is None:
            raise NotFound(f"there is no tool '{plain(name, 60)}'", "tools/list shows those you may call")
        if not self._allowed(tool, caller, await self._there(caller)):
            raise NotAllowed(
                f"the tool '{tool.name}' is not yours to call here", "tools/list shows those you may call"
            )
        try:
            if len(msgspec.json.encode(arguments)) > MOST_ARGUMENT_BYTES:
                raise Invalid("the arguments are too long", "200,000 bytes is the most")
            return tool, msgspec.convert(arguments, tool.asks)
        except (
            msgspec.ValidationError,
            msgspec.EncodeError,
            UnicodeError,
            RecursionError,
            TypeError,
            OverflowError,
        ) as error:
            raise Invalid(f"{tool.name}: {plain(str(error), 200)}") from error

    async def _answered(self, tool: Tool, asked: Any, caller: Caller) -> tuple[Document, str]:
        now = self.now()

        def confirm(token: str | None, plan: Document) -> Document | None:
            who = caller.key or caller.account
            if token is None:
                ends = rfc3339(now + LASTS_S * NS_PER_S)
                return {"confirm": self._confirmations.make(who, tool.name, plan, now), "expires_at": ends}
            self._confirmations.take(token, who, tool.name, plan, now)
            return None

        answer = await tool.run(
            Call(asked=asked, caller=caller, now=now, hub=self.hub, local=caller.key is None, confirm=confirm)
        )
        said = plain(answer.said, _SAID_CHARACTERS)
        tokens = DETAIL_TOKENS if getattr(asked, "detail", False) else DEFAULT_TOKENS
        budget = tokens * BYTES_PER_TOKEN - _ENVELOPE_BYTES - len(msgspec.json.encode(said))
        document = fitted(_lean(plain_values(tool.document(answer)), budget), budget)
        return document, f"{said} {MORE}" if document.get("more") else said

    async def _refused(self, name: str, caller: Caller, error: NetTraceError) -> None:
        try:
            await self._write_down(caller, plain(name, 60), None, error.slug)
        except NetTraceError as broken:
            _log.error("a refused call could not be written down: %s", plain(str(broken)))

    async def _write_down(self, caller: Caller, tool: str, asked: Any, outcome: str) -> None:
        """A line of the audit log. A call that cannot be written down is not answered.

        Raises:
            StoreError: the store does not take it.
        """
        known = _named(tool)
        acts = known is not None and known.scope is not Scope.READ
        if not isinstance(self.hub, Stored) or not (self._audited or acts):
            return
        data = self.hub.data
        detail = "" if asked is None else plain(redacted(msgspec.json.encode(asked).decode()), 500)
        line = Audit(
            at=self.now(), actor=f"mcp:{caller.key or caller.account}", action=f"mcp.{tool}", subject=tool,
            outcome=outcome, detail=detail,
        )  # fmt: skip

        def put() -> None:
            with writer(data) as store:
                store.put_audit(line)

        async with self._auditing:
            await asyncio.to_thread(put)


def _named(name: str) -> Tool | None:
    """The tool of that name, or of that earlier name."""
    return next((each for each in TOOLS if name in {each.name, each.alias}), None)


def _lean(document: Document, budget: int) -> Document:
    """The document with its other lists halved until there is room for rows; what is cut is counted in no field."""
    lists = [name for name, value in document.items() if name != "rows" and isinstance(value, list)]
    while lists and size({**document, "rows": []}) > budget // 2:
        longest = max(lists, key=lambda name: size(document[name]))
        if len(document[longest]) < 2:
            break
        document = {**document, longest: document[longest][: len(document[longest]) // 2]}
    return document


def _wrong(error: NetTraceError) -> CallToolResult:
    """An error as an answer: its stable name, what happened, what to do next; on one line."""
    said = f"{error.slug}: {plain(error.detail, 400)}"
    if error.hint:
        said += f". {plain(error.hint, 300)}"
    return CallToolResult(content=[TextContent(text=said)], is_error=True)
