"""What a tool is: its words, its arguments, the fields of its answer, and who may call it."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any, cast

import msgspec
from mcp_types import Tool as Listed
from mcp_types import ToolAnnotations

from nettrace.errors import Invalid
from nettrace.hub.access import Caller
from nettrace.mcp.plain import Document
from nettrace.mcp.port import Hub
from nettrace.model.account import Feature, Scope
from nettrace.model.instant import NS_PER_S, Instant
from nettrace.store.rows import Window
from nettrace.wire.traces import instant_of

Host = Annotated[str, msgspec.Meta(min_length=1, max_length=253)]
Region = Annotated[str, msgspec.Meta(min_length=1, max_length=50)]
Time = Annotated[str, msgspec.Meta(max_length=40)]
Hours = Annotated[float, msgspec.Meta(gt=0, le=24 * 400)]
_HOUR_NS = 3600 * NS_PER_S
_DROPPED = ("title", "description", "maxLength", "minLength", "exclusiveMinimum", "maxItems", "minItems")


class Asked(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Arguments of a tool. Unknown ones are refused: a misspelt one is not ignored."""


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One call of a tool.

    Attributes:
        asked: the arguments, checked.
        hub: the hub asked; tools that need one are not listed without.
        confirmed: checks a confirm token against these arguments, or makes one; see `mcp.confirm`.
        local: the caller is the user of this machine, not somebody with a key.
    """

    asked: Any
    caller: Caller
    now: Instant
    hub: Hub | None
    local: bool
    confirm: Callable[[str | None, Document], Document | None]

    @property
    def there(self) -> Hub:
        """The hub.

        Raises:
            Invalid: this server has none.
        """
        if self.hub is None:
            raise Invalid("this server reads no hub", "Start it with --data DIR or --hub URL")
        return self.hub

    def window(self, hours: float, end: str | None) -> Window:
        """The stretch of `hours` that ends at `end`, now when that is left out."""
        until = (self.now // NS_PER_S + 1) * NS_PER_S if end is None else instant_of(end)
        return Window(max(0, until - round(hours * _HOUR_NS)), until)


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What a tool found.

    Attributes:
        said: the summary, for people; the same facts are in the fields.
        rows: what was found, in the order it matters.
        more: rows there are beyond these.
        fields: the other fields of the answer.
    """

    said: str
    rows: list[Any] = []
    more: int = 0
    fields: Document = {}


class Tool(msgspec.Struct, frozen=True, kw_only=True):
    """One tool.

    Attributes:
        says: its description: what it answers, when to use another one.
        row: fields of each row of its answer.
        fields: other fields of its answer with their JSON types.
        alias: an earlier name it answers to as well.
        needs: `hub` (any), `folder` (a hub's folder on this machine), or nothing.
        operator: only for the user of the machine and keys with the scope `fleet`: it sees every account's data.
        destructive: it changes something; it does so only with a confirm token.
    """

    name: str
    says: str
    run: Callable[[Call], Awaitable[Answer]]
    asks: type[Asked] = Asked
    row: tuple[str, ...] = ()
    fields: Mapping[str, str] = {}
    alias: str | None = None
    scope: Scope = Scope.READ
    feature: Feature | None = None
    needs: str = "hub"
    operator: bool = False
    destructive: bool = False

    def listed(self) -> Listed:
        """The tool as `tools/list` gives it."""
        reads = self.scope is Scope.READ
        return Listed(
            name=self.name,
            description=self.says,
            input_schema=_input(self.asks),
            output_schema=self._output(),
            annotations=ToolAnnotations(
                read_only_hint=reads,
                destructive_hint=self.destructive or None,
                open_world_hint=None if reads else True,
            ),
        )

    def _output(self) -> Document:
        properties: Document = {name: {"type": kind} if kind else {} for name, kind in self.fields.items()}
        if self.row:
            names: Document = {name: {} for name in self.row}
            properties["rows"] = {"type": "array", "items": {"type": "object", "properties": names}}
            properties["more"] = {"type": "integer"}
        return {"type": "object", "properties": properties}

    def document(self, answer: Answer) -> Document:
        """An answer with exactly the fields the tool promises; what is not known is null."""
        made: Document = {name: answer.fields.get(name) for name in self.fields}
        if self.row:
            made["rows"] = [{name: row.get(name) for name in self.row} for row in answer.rows]
            made["more"] = answer.more
        return made


def _input(asks: type[Asked]) -> Document:
    """The arguments' schema in few words: limits that the error tells are left out, the server keeps them anyway."""
    _, parts = msgspec.json.schema_components((asks,))
    schema = cast("Document", parts[asks.__name__])
    properties: Document = {name: _brief(each) for name, each in schema["properties"].items()}
    made: Document = {"type": "object", "properties": properties}
    if schema.get("required"):
        made["required"] = schema["required"]
    return made


def _brief(schema: Document) -> Document:
    said = schema.get("description")
    if "anyOf" in schema:
        schema = next(each for each in schema["anyOf"] if each.get("type") != "null") | {
            key: value for key, value in schema.items() if key == "default"
        }
    made = {key: value for key, value in schema.items() if key not in _DROPPED}
    if made.get("default", ...) in (None, False, ""):
        del made["default"]
    if "items" in made:
        made["items"] = _brief(made["items"])
    if said:
        made["description"] = said
    return made
