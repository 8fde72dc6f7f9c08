"""A placement document as Markdown."""

from collections.abc import Iterator, Sequence

from nettrace.placement.document.cell import RIGHT, cell
from nettrace.placement.document.shape import (
    Block,
    Drawing,
    File,
    Head,
    Items,
    PlacementDocument,
    Table,
    Words,
)


def markdown(document: PlacementDocument) -> str:
    """The document as GitHub's Markdown; the topology as Mermaid."""
    lines = [f"# {_plain(document.title)}", ""]
    for section in document.sections:
        lines += [f"## {_plain(section.title)}", ""]
        for block in section.blocks:
            lines += [*_block(block), ""]
    return "\n".join(lines).rstrip() + "\n"


def _block(block: Block) -> Iterator[str]:
    match block:
        case Words(text, strong):
            yield f"**{_plain(text)}**" if strong else _plain(text)
        case Head(text):
            yield f"### {_plain(text)}"
        case Items(items, checks):
            yield from (f"- {'[ ] ' if checks else ''}{_plain(item)}" for item in items)
        case Table():
            yield from _table(block)
        case File(name, language, text):
            yield f"`{name}`:"
            yield ""
            yield from _fenced(language, text)
        case Drawing(_, mermaid, _):
            yield from _fenced("mermaid", mermaid)


def _fenced(language: str, text: str) -> Sequence[str]:
    fence = "```"
    while fence in text:
        fence += "`"
    return [f"{fence}{language}", *text.rstrip("\n").splitlines(), fence]


def _table(table: Table) -> Iterator[str]:
    yield f"| {' | '.join(_plain(column.title) for column in table.columns)} |"
    yield f"|{'|'.join('---:' if column.kind in RIGHT else '---' for column in table.columns)}|"
    for row in table.rows:
        yield f"| {' | '.join(_plain(cell(column.kind, row.get(column.key))) for column in table.columns)} |"


def _plain(text: str) -> str:
    """Text that no Markdown table or emphasis breaks on."""
    return "".join(f"\\{letter}" if letter in "\\|*_`<[]" else letter for letter in " ".join(text.split()))
