"""The topology: which services stand where and which venue is reached from which site, as SVG and as Mermaid."""

from collections.abc import Iterator
from html import escape
from itertools import count

from nettrace.placement.document.ground import Ground
from nettrace.placement.document.shape import Drawing, Section, Words

_WIDE, _GAP, _LINE = 232, 24, 20
_MOST_COLUMNS = 4
_CUT = 26


def topology(ground: Ground) -> Section:
    """Sites as boxes with their services and venues; today's site above them when it stays."""
    told = "; ".join(
        f"{site} serves {', '.join(ground.title(each.venue) for each in ground.serves(site)) or 'no venue'}"
        for site in ground.plan.sites
    )
    words = Words(
        "Dashed lines join the sites with today's; how far apart they are is not part of the plan, and not measured here."
    )
    return Section("topology", "Topology", (Drawing(_svg(ground, told), _mermaid(ground), told), words))


def _hub(ground: Ground) -> str | None:
    return ground.brief.now if ground.brief.now in ground.plan.sites else None


def _lines(ground: Ground, site: str) -> list[tuple[str, str]]:
    """What stands in a site's box: a class and a text each."""
    made = [("service", f"- {_short(service.name, _CUT)}") for service in ground.services(site)]
    for each in ground.serves(site):
        made.append(("venue", f"{_short(ground.title(each.venue), _CUT - 9)}  {each.p50_ms:.1f} ms"))
    backs = [ground.title(each.venue) for each in ground.plan.assignments if each.backup == site]
    if backs:
        made.append(("backup", f"backup of {len(backs)} venue{'s' * (len(backs) > 1)}"))
    return made or [("backup", "no venue")]


def _svg(ground: Ground, told: str) -> str:
    hub = _hub(ground)
    others = [site for site in ground.plan.sites if site != hub]
    columns = max(1, min(_MOST_COLUMNS, len(others)))
    width = columns * _WIDE + (columns + 1) * _GAP
    boxes: list[str] = []
    lines: list[str] = []
    top = _GAP
    middle = width / 2
    hub_bottom = 0.0
    if hub is not None:
        content = _lines(ground, hub)
        boxes.append(_box(middle - _WIDE / 2, top, hub, content))
        hub_bottom = top + _height(content)
        top = int(hub_bottom) + 64
    for start in range(0, len(others), columns):
        row = others[start : start + columns]
        left = (width - len(row) * _WIDE - (len(row) - 1) * _GAP) / 2
        tallest = 0
        for at, site in enumerate(row):
            x, content = left + at * (_WIDE + _GAP), _lines(ground, site)
            boxes.append(_box(x, top, site, content))
            tallest = max(tallest, _height(content))
            if hub is not None:
                lines.append(
                    f'<path class="way" d="M{middle:g} {hub_bottom:g} C {middle:g} {top - 20:g}, {x + _WIDE / 2:g} {hub_bottom + 20:g}, {x + _WIDE / 2:g} {top:g}"/>'
                )
        top += tallest + 40
    height = top - 16
    return (
        f'<svg class="topology" viewBox="0 0 {width} {height}" role="img" aria-label="{escape(told)}" '
        f'xmlns="http://www.w3.org/2000/svg">{"".join(lines)}{"".join(boxes)}</svg>'
    )


def _height(content: list[tuple[str, str]]) -> int:
    return 48 + _LINE * len(content)


def _box(x: float, y: float, site: str, content: list[tuple[str, str]]) -> str:
    rows = "".join(
        f'<text class="{kind}" x="{x + 14:g}" y="{y + 54 + _LINE * at:g}">{escape(_short(text, 32))}</text>'
        for at, (kind, text) in enumerate(content)
    )
    return (
        f'<rect x="{x:g}" y="{y:g}" width="{_WIDE}" height="{_height(content)}" rx="6"/>'
        f'<text class="site" x="{x + 14:g}" y="{y + 28:g}">{escape(site)}</text>{rows}'
    )


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}\N{HORIZONTAL ELLIPSIS}"


def _mermaid(ground: Ground) -> str:
    return "\n".join(["graph TD", *_edges(ground)]) + "\n"


def _edges(ground: Ground) -> Iterator[str]:
    hub = _hub(ground)
    names = {site: f"s{at}" for at, site in enumerate(ground.plan.sites)}
    venues = count()
    for site, key in names.items():
        services = "".join(f"<br/>{_quoted(each.name)}" for each in ground.services(site))
        yield f'  {key}["{_quoted(site)}{services}"]'
        if hub is not None and site != hub:
            yield f"  {names[hub]} -.- {key}"
        for each in ground.serves(site):
            yield f'  {key} -->|"{each.p50_ms:.1f} ms"| v{next(venues)}("{_quoted(ground.title(each.venue))}")'


def _quoted(text: str) -> str:
    return text.replace('"', "#quot;").replace("\n", " ")
