"""What a document is made of: sections of blocks, and blocks of raw values. How they look is the renderers' business."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

import msgspec


class Kind(StrEnum):
    """What stands in a column: decides digits and alignment, never the value.

    `median` is a list of median, low and high end in ms; `span` a list of two dollar amounts.
    """

    TEXT = "text"
    MS = "ms"
    MEDIAN = "median"
    USD = "usd"
    SPAN = "span"
    COUNT = "count"
    SHARE = "share"
    MARK = "mark"


class Column(msgspec.Struct, frozen=True):
    """One column of a table; `key` is the rows' key for it."""

    key: str
    title: str
    kind: Kind = Kind.TEXT


class Words(msgspec.Struct, frozen=True, tag_field="block", tag="words"):
    """A paragraph; `strong` for the sentence a reader must not miss."""

    text: str
    strong: bool = False


class Items(msgspec.Struct, frozen=True, tag_field="block", tag="items"):
    """A list; `checks` are to be ticked off."""

    items: tuple[str, ...]
    checks: bool = False


class Table(msgspec.Struct, frozen=True, tag_field="block", tag="table"):
    """Rows of raw values under columns."""

    columns: tuple[Column, ...]
    rows: tuple[dict[str, Any], ...]


class File(msgspec.Struct, frozen=True, tag_field="block", tag="file"):
    """A file the document proposes; `nettrace plan --deploy` writes it."""

    name: str
    language: str
    text: str


class Drawing(msgspec.Struct, frozen=True, tag_field="block", tag="drawing"):
    """A picture twice: SVG for a page, Mermaid text for Markdown; `told` says it in words."""

    svg: str
    mermaid: str
    told: str


class Head(msgspec.Struct, frozen=True, tag_field="block", tag="head"):
    """A heading inside a section."""

    text: str


Block = Words | Items | Table | File | Drawing | Head


class Section(msgspec.Struct, frozen=True):
    """A chapter: `id` is stable, for links and programs."""

    id: str
    title: str
    blocks: tuple[Block, ...]


class PlacementDocument(msgspec.Struct, frozen=True):
    """The whole: what `document` is in `nettrace.plan/1`."""

    title: str
    sections: tuple[Section, ...]


def table(
    columns: Sequence[tuple[str, str] | tuple[str, str, Kind]], rows: Sequence[Mapping[str, Any]]
) -> Table:
    """A table of `(key, title[, kind])` and rows.

    >>> table([("site", "site")], [{"site": "a"}]).columns[0].kind
    <Kind.TEXT: 'text'>
    """
    made = tuple(Column(each[0], each[1], each[2] if len(each) == 3 else Kind.TEXT) for each in columns)
    return Table(made, tuple(dict(row) for row in rows))
