"""Pages for people and for language models, made from the same table: `/docs`, `/problems/...`, `/llms.txt`.

No third party is asked for anything: no fonts, scripts or styles from elsewhere.
"""

from base64 import b64encode
from collections.abc import Sequence
from hashlib import sha256
from html import escape
from typing import Any

import msgspec

from nettrace.api.openapi import DESCRIPTION, query_parameters
from nettrace.api.operation import Operation
from nettrace.api.problems import TITLES

_STYLE = """
:root{color-scheme:light dark;--ink:#14181f;--dim:#4a5361;--paper:#fbfbfc;--line:#d9dde4;--accent:#0b5cad}
@media(prefers-color-scheme:dark){:root{--ink:#e8ebf0;--dim:#b3bcc9;--paper:#0e1217;--line:#2b333e;--accent:#6cb2ff}}
html{background:var(--paper);color:var(--ink)}a{color:var(--accent);text-underline-offset:.15em}
body{font:15px/1.5 system-ui,sans-serif;max-width:62rem;margin:2rem auto;padding:0 1rem}
code,pre{font:13px/1.45 ui-monospace,monospace}pre{overflow:auto;padding:.7rem;border:1px solid var(--line);border-radius:6px}
h2{margin-top:2.5rem;border-bottom:1px solid var(--line)}details{border:1px solid var(--line);border-radius:6px;margin:.6rem 0;padding:.4rem .8rem}
summary{cursor:pointer;min-height:24px}summary b{display:inline-block;min-width:4.2em}table{border-collapse:collapse;width:100%}
td,th{text-align:left;vertical-align:top;padding:.25rem .6rem .25rem 0;border-top:1px solid var(--line)}.dim{color:var(--dim)}
"""
_DIGEST = b64encode(sha256(_STYLE.encode()).digest()).decode()
POLICY = f"default-src 'none'; style-src 'sha256-{_DIGEST}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
"""No script at all, and no style but the one above, known by its hash."""


def docs_page(operations: Sequence[Operation]) -> bytes:
    """The reference of all operations as one page that works without JavaScript."""
    tags = dict.fromkeys(operation.tag for operation in operations)
    menu = " · ".join(f'<a href="#{escape(tag)}">{escape(tag)}</a>' for tag in tags)
    parts = [
        f"<h1>NetTrace API</h1><p>{_paragraphs(DESCRIPTION)}</p><nav aria-label='Sections'>{menu} · "
        '<a href="/openapi.json">openapi.json</a> · <a href="/llms.txt">llms.txt</a></nav>'
    ]
    for tag in tags:
        parts.append(f'<h2 id="{escape(tag)}">{escape(tag)}</h2>')
        parts += [_section(operation) for operation in operations if operation.tag == tag]
    parts.append('<h2 id="problems">Problems</h2><table>')
    parts += [
        f'<tr><td><a href="/problems/{slug}"><code>{slug}</code></a></td><td>{escape(title)}</td></tr>'
        for slug, title in TITLES.items()
    ]
    parts.append("</table>")
    return _page("NetTrace API", "".join(parts))


def _section(operation: Operation) -> str:
    needs = "no key" if operation.open else ", ".join(
        text
        for text in (
            f"{operation.cost} call{'' if operation.cost == 1 else 's'}" if operation.cost else "free",
            f"scope <code>{operation.scope}</code>" if operation.scope else "",
            f"feature <code>{operation.feature}</code>" if operation.feature else "",
        )
        if text
    )  # fmt: skip
    rows = "".join(_parameter(each) for each in query_parameters(operation))
    table = f"<table><tr><th>Parameter</th><th>Type</th><th>Meaning</th></tr>{rows}</table>" if rows else ""
    return (
        f'<details id="{operation.id}"><summary><b>{operation.method}</b> <code>{escape(operation.path)}</code> '
        f'<span class="dim">{escape(operation.summary)}</span></summary>'
        f"<p>{_paragraphs(operation.description)}</p><p class='dim'>{needs}</p>{table}"
        f"<pre>{escape(curl(operation))}</pre></details>"
    )


def curl(operation: Operation) -> str:
    """The operation's example as a command."""
    key = "" if operation.open else ' -H "Authorization: Bearer $NETTRACE_KEY"'
    body = ""
    if operation.example_body is not None:
        body = f" --json '{msgspec.json.encode(operation.example_body).decode()}'"
    method = "" if operation.method in {"GET", "POST"} else f" -X {operation.method}"
    return f'curl{method}{key}{body} "$NETTRACE_URL{operation.example}"'


def _parameter(each: dict[str, Any]) -> str:
    schema = each["schema"]
    kind = " | ".join(map(str, schema["enum"])) if "enum" in schema else str(schema.get("type", ""))
    if "default" in schema and schema["default"] not in ("", [], None):
        kind += f" = {schema['default']}"
    star = "" if not each["required"] else " (required)"
    return (
        f"<tr><td><code>{escape(each['name'])}</code>{star}</td><td>{escape(kind)}</td>"
        f"<td>{_paragraphs(each.get('description', ''))}</td></tr>"
    )


def problem_page(slug: str) -> bytes | None:
    """What a problem type means; None for one there is not."""
    title = TITLES.get(slug)
    if title is None:
        return None
    return _page(
        title,
        f"<h1>{escape(title)}</h1><p>Problem type <code>{escape(slug)}</code>. The answer's <code>detail</code> says "
        "what happened and to what, <code>hint</code> what to do next, <code>errors</code> which part of the request "
        'is meant. Give the operator the <code>request_id</code>.</p><p><a href="/docs#problems">All problems</a></p>',
    )


def llms_text(operations: Sequence[Operation]) -> bytes:
    """The API in a few words for a language model (llmstxt.org)."""
    lines = [
        "# NetTrace",
        "",
        f"> {DESCRIPTION.splitlines()[0]}",
        "",
        *DESCRIPTION.splitlines()[2:],
        "",
        "## Operations",
        "",
    ]
    for operation in operations:
        names = ", ".join(each["name"] for each in query_parameters(operation))
        lines.append(
            f"- {operation.method} {operation.path}{f'?{names}' if names else ''}: {operation.summary}"
        )
    lines += [
        "",
        "## More",
        "",
        "- [OpenAPI](/openapi.json): every shape",
        "- [Reference](/docs): for people",
        "",
    ]
    return "\n".join(lines).encode()


def reference_markdown(operations: Sequence[Operation]) -> str:
    """The reference as a page of the documentation."""
    lines = [
        "# HTTP API",
        "",
        "Generated by `./dev docs` from the table of operations; every example is executed by a test.",
        "",
    ]
    lines += [DESCRIPTION, "", "What it means, and how to use it: [the API guide](../guides/api.md).", ""]
    for tag in dict.fromkeys(operation.tag for operation in operations):
        lines += [f"## {tag}", ""]
        for operation in operations:
            if operation.tag == tag:
                lines += _markdown(operation)
    lines += ["## Problems", "", "| Code | Meaning |", "|---|---|"]
    lines += [f"| `{slug}` | {title} |" for slug, title in TITLES.items()]
    return "\n".join(lines) + "\n"


def _markdown(operation: Operation) -> list[str]:
    access = "no key" if operation.open else f"{operation.cost} call" + ("" if operation.cost == 1 else "s")
    if operation.scope is not None and not operation.open:
        access += f", scope `{operation.scope}`"
    if operation.feature is not None:
        access += f", feature `{operation.feature}`"
    lines = [
        f"### `{operation.method} {operation.path}`",
        "",
        f"{operation.summary} ({access}). {operation.description}".strip(),
        "",
    ]
    rows = query_parameters(operation)
    if rows:
        lines += ["| Parameter | Type | Meaning |", "|---|---|---|"]
        for each in rows:
            schema = each["schema"]
            kind = " ".join(map(str, schema["enum"])) if "enum" in schema else str(schema.get("type", ""))
            kind += f", default `{schema['default']}`" if schema.get("default") not in (None, "", []) else ""
            kind += ", required" if each["required"] else ""
            lines.append(f"| `{each['name']}` | {kind} | {each.get('description', '')} |")
        lines.append("")
    return [*lines, "```sh", curl(operation), "```", ""]


def _paragraphs(text: str) -> str:
    """Text as HTML; what stands in backticks is code."""
    pieces = escape(text).replace("\n\n", "</p><p>").split("`")
    return "".join(f"<code>{piece}</code>" if number % 2 else piece for number, piece in enumerate(pieces))


def _page(title: str, body: str) -> bytes:
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width,initial-scale=1"><style>{_STYLE}</style></head>'
        f'<body><main><p><a href="/">NetTrace</a></p>{body}</main></body></html>'
    ).encode()
