"""A placement document as one HTML page: nothing is fetched, it prints, and it reads on a phone."""

from collections.abc import Iterator
from html import escape

from nettrace.placement.document.cell import RIGHT, cell
from nettrace.placement.document.shape import (
    Block,
    Column,
    Drawing,
    File,
    Head,
    Items,
    Kind,
    PlacementDocument,
    Section,
    Table,
    Words,
)

STYLE = """\
:root{--ink:#1b1f24;--soft:#5a6472;--line:#d5dae1;--paper:#fff;--field:#f4f6f8;--mark:#0b57a4;--good:#1a7f45;--bad:#b3261e}
@media (prefers-color-scheme:dark){:root{--ink:#e4e8ee;--soft:#9aa5b4;--line:#343b46;--paper:#14181d;--field:#1c2229;
--mark:#79b8ff;--good:#57c785;--bad:#ff8a80}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
main{max-width:76rem;margin:0 auto;padding:1.5rem 1.25rem 4rem}
h1{font-size:1.9rem;line-height:1.2;margin:.5rem 0 1rem}
h2{font-size:1.35rem;margin:2.6rem 0 .8rem;padding-top:.9rem;border-top:1px solid var(--line)}
h3{font-size:1.05rem;margin:1.6rem 0 .4rem}
p{max-width:46rem;margin:.6rem 0}p,li{overflow-wrap:anywhere}p.strong{font-weight:600}
ul{max-width:46rem;padding-left:1.2rem}ul.checks{list-style:none;padding-left:.1rem}ul.checks li{padding-left:1.6rem;text-indent:-1.6rem}
li{margin:.25rem 0}input{margin:0 .55rem 0 0}
nav ol{columns:3 13rem;padding-left:1.4rem;font-size:.95rem}a{color:var(--mark)}
.wide{max-width:100%;overflow-x:auto;margin:.8rem 0 1rem}
table{border-collapse:collapse;font-size:.9rem;line-height:1.35;font-variant-numeric:tabular-nums}
th,td{padding:.38rem .7rem;border-bottom:1px solid var(--line);text-align:left;vertical-align:top}
td{max-width:30rem;overflow-wrap:break-word}td.short{white-space:nowrap}td.long{min-width:15rem}
th{max-width:9rem}
th{color:var(--soft);font-weight:600;vertical-align:bottom}
th.right{text-align:right}td.right{text-align:right;white-space:nowrap}
td.right small{color:var(--soft);font-size:.85em}
.right-is{color:var(--good);font-weight:600}.wrong-is{color:var(--bad);font-weight:600}.unknown-is{color:var(--soft);font-weight:600}
details{margin:.6rem 0;overflow:hidden;border:1px solid var(--line);border-radius:6px;background:var(--field)}
summary{cursor:pointer;padding:.45rem .8rem;font:.9rem ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}
pre{margin:0;padding:.2rem .8rem .8rem;overflow-x:auto;font:.82rem/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}
.topology{min-width:40rem;width:100%;max-width:70rem;height:auto;display:block}
.topology rect{fill:var(--field);stroke:var(--line)}.topology .way{fill:none;stroke:var(--soft);stroke-dasharray:5 4}
.topology text{fill:var(--ink);font:13px system-ui,sans-serif}.topology .site{font-weight:700;font-size:15px}
.topology .service,.topology .backup{fill:var(--soft)}
@media (max-width:40rem){main{padding:1rem .9rem 3rem}h1{font-size:1.5rem}h2{font-size:1.2rem}nav ol{columns:1}th,td{padding:.32rem .5rem}}
@media print{:root{--ink:#000;--soft:#444;--line:#bbb;--paper:#fff;--field:#fff;--mark:#000;--good:#000;--bad:#000}
body{font-size:10pt}main{max-width:none;padding:0}nav{display:none}.wide{overflow:visible}table{font-size:7.5pt;width:100%}
th,td{padding:2pt 4pt}td{max-width:none}td.long{min-width:0}td.right small{display:block}
h2,h3{break-after:avoid}tr,svg,li{break-inside:avoid}thead{display:table-header-group}
pre{white-space:pre-wrap;overflow-wrap:anywhere;font-size:7pt}.topology{min-width:0}a{text-decoration:none}}
"""
_OPEN = "formula"
"""Files short enough to be read in passing."""
_SHORT, _LONG = 30, 40
"""Text up to so many letters stays on one line; from there on it gets room."""


def page(document: PlacementDocument) -> str:
    """The document as HTML."""
    title = escape(document.title)
    contents = "".join(
        f'<li><a href="#{escape(each.id)}">{escape(each.title)}</a></li>' for each in document.sections
    )
    body = "".join(part for section in document.sections for part in _section(section))
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n<h1>{title}</h1>\n"
        f'<nav aria-label="Contents"><ol>{contents}</ol></nav>\n{body}</main>\n</body>\n</html>\n'
    )


def _section(section: Section) -> Iterator[str]:
    yield f'<section id="{escape(section.id)}">\n<h2>{escape(section.title)}</h2>\n'
    for block in section.blocks:
        yield f"{_block(block)}\n"
    yield "</section>\n"


def _block(block: Block) -> str:
    match block:
        case Words(text, strong):
            kind = ' class="strong"' if strong else ""
            return f"<p{kind}>{escape(text)}</p>"
        case Head(text):
            return f"<h3>{escape(text)}</h3>"
        case Items(items, checks):
            return _items(items, checks=checks)
        case Table():
            return _table(block)
        case File(name, _, text):
            opened = " open" if name == _OPEN else ""
            return f"<details{opened}><summary>{escape(name)}</summary><pre>{escape(text)}</pre></details>"
        case Drawing(svg, _, _):
            return f'<div class="wide" tabindex="0" role="region" aria-label="Topology">{svg}</div>'


def _items(items: tuple[str, ...], *, checks: bool) -> str:
    if not checks:
        return f"<ul>{''.join(f'<li>{escape(item)}</li>' for item in items)}</ul>"
    boxes = "".join(f'<li><label><input type="checkbox">{escape(item)}</label></li>' for item in items)
    return f'<ul class="checks">{boxes}</ul>'


def _table(table: Table) -> str:
    heads = "".join(f'<th scope="col"{_side(column)}>{escape(column.title)}</th>' for column in table.columns)
    rows = "".join(
        f"<tr>{''.join(_cell(column, row.get(column.key)) for column in table.columns)}</tr>"
        for row in table.rows
    )
    name = escape(", ".join(column.title for column in table.columns if column.title))
    return (
        f'<div class="wide" tabindex="0" role="region" aria-label="{name}"><table><thead><tr>{heads}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _side(column: Column) -> str:
    return ' class="right"' if column.kind in RIGHT else ""


def _cell(column: Column, value: object) -> str:
    text = cell(column.kind, value)
    if column.kind is Kind.MARK and text in {"right", "wrong", "unknown"}:
        return f'<td class="{text}-is">{text}</td>'
    if column.kind is Kind.MEDIAN:
        middle, bracket, ends = text.partition(" (")
        return (
            f'<td class="right">{escape(middle)}{f" <small>({escape(ends)}</small>" if bracket else ""}</td>'
        )
    size = "long" if len(text) > _LONG else "short" if len(text) <= _SHORT else ""
    side = _side(column) or (f' class="{size}"' if size else "")
    return f"<td{side}>{escape(text)}</td>"
