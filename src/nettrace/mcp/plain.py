"""What leaves this door: text without control characters, answers within their size."""

from typing import Any, cast

import msgspec

Document = dict[str, Any]
MOST_CHARACTERS = 300
BYTES_PER_TOKEN = 4
"""The stated approximation of every budget here: a token is four bytes of the JSON a client gets."""
_DEEPEST = 12


def plain(text: str, most: int = MOST_CHARACTERS) -> str:
    r"""Text on one line: control and other unprintable characters become the replacement character, and it is cut.

    Names come from outside. They are data, whatever they say; a line of a log or of an answer stays one line.

    >>> plain("a\nb", 10), plain("x" * 20, 5)
    ('a�b', 'xxxx…')
    """
    if len(text) > most:
        text = text[: most - 1] + "…"
    return (
        text
        if text.isprintable()
        else "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
    )


def plain_values(value: Any, depth: int = 0) -> Any:
    """A JSON value with every text in it plain; what lies too deep is left out."""
    if isinstance(value, str):
        return plain(value)
    if depth >= _DEEPEST:
        return None
    if isinstance(value, dict):
        items = cast("dict[object, object]", value).items()
        return {plain(str(key), 80): plain_values(each, depth + 1) for key, each in items}
    if isinstance(value, list | tuple):
        return [plain_values(each, depth + 1) for each in cast("list[object]", value)]
    return value


def size(document: object) -> int:
    """Bytes of a value as JSON."""
    return len(msgspec.json.encode(document))


def fitted(document: Document, budget: int) -> Document:
    """The document with so many of its `rows` as fit into `budget` bytes; `more` counts those left out.

    >>> fitted({"rows": ["aaaa", "bbbb", "cccc"], "more": 0}, 30)
    {'rows': ['aaaa'], 'more': 2}
    """
    rows = document.get("rows")
    if not isinstance(rows, list) or size(document) <= budget:
        return document
    every = cast("list[object]", rows)
    left = budget - size({**document, "rows": [], "more": document["more"] + len(every)})
    kept = 0
    for row in every:
        left -= size(row) + (kept > 0)
        if left < 0:
            break
        kept += 1
    return {**document, "rows": every[:kept], "more": document["more"] + len(every) - kept}
