"""A cable grows slow in the lab, with real packets: which leg, since when, who else, found by looking and clicking."""

import re
import time
from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

import pytest
from playwright.sync_api import Browser, Page
from tests.browser.conftest import Watched, opened
from tests.browser.incident import AFFECTED, ENDS, Incident, running
from tests.browser.served import eventually

from nettrace.lab.permission import lab_obstacle

pytestmark = [pytest.mark.browser, pytest.mark.lab]

SEEN_WITHIN = 2
"""Rounds until a page shows what was measured, suspected or proven."""
PROVEN_BY = 5
"""Samples a shift is proven by: fewer would be wrong too often (docs/decisions/0165)."""


PROOF = {"proven", "proven, all pairs"}
SIGHTS = PROOF | {
    "path", "map", "map, all pairs", "overview", "overview, all pairs", "overview, leg", "suspicion, all pairs", "suspicion, leg",
}  # fmt: skip
"""What is looked for: of what concerns all pairs rounds are counted at the one with fewest, of the rest at the one with most."""


ALL = "6 pairs: 2 targets from 3 vantages"
Pair = tuple[str, str]


ARCS = (
    "[...document.querySelectorAll('.arc:not(.arc-none)')].map(arc => "
    "[Date.now(), ...arc.dataset.pair.split('>'), arc.getAttribute('class').split('arc-')[1]])"
)
"""How each pair is drawn whose newest round took place: when, vantage, target, shade."""
LINES = "[...document.querySelectorAll('#suspected li, #open li, #events li')].map(line => [Date.now(), line.closest('ul').id, line.textContent])"
LEG = re.compile(r"Leg suspected: (.+) → (.+)$")
CITIES = {"Chicago", "Denver"}
"""Where the routers at the cable's ends stand, as the overview says it."""
SUSPICION = "[Date.now(), ...['#affected th a', '#leg tbody .mono'].map(cells => [...document.querySelectorAll(cells)].map(cell => cell.textContent))]"
WATCH = (
    "(look => { window.seen = []; new MutationObserver(() => window.seen.push(look()))"
    ".observe(document.getElementById('main'), { subtree: true, childList: true, attributeFilter: ['class'] }); })"
)
"""Looks at each change of the page, in the page: what slows the test down does not make the page late."""


class Sight(NamedTuple):
    """Rounds from the incident until each page showed it, with the pages still open."""

    incident: Incident
    overview: Watched
    rounds: dict[str, int]
    changed: set[Pair]


@pytest.fixture(scope="module")
def sight(chromium: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sight]:
    """Pages were open before it happened; nobody reloads the map, the overview and what is suspected."""
    obstacle = lab_obstacle()
    if obstacle is not None:
        pytest.skip(f"no lab is possible here: {obstacle}")
    began = time.time_ns()
    with running(tmp_path_factory.mktemp("incident") / "demo") as incident:
        overview, chart, path, suspicion = (opened(chromium, incident.url) for _ in range(4))
        incident.wait_until_known(began)
        chart.go("/map")
        overview.go("/")
        suspicion.go("/events/suspected")
        usual: dict[Pair, str] = {}

        def drawn() -> bool:
            usual.update(
                {(vantage, target): shade for _, vantage, target, shade in chart.page.evaluate(ARCS)}
            )
            return usual.keys() >= AFFECTED

        eventually(drawn, "every pair on the map")
        chart.page.evaluate(f"{WATCH}(() => {ARCS})")
        overview.page.evaluate(f"{WATCH}(() => {LINES})")
        suspicion.page.evaluate(f"{WATCH}(() => {SUSPICION})")
        eventually(
            lambda: not overview.page.evaluate(f"{LINES}.some(line => line[1] !== 'events')"),
            "a machine that is slow by nothing but what is planted",
        )
        incident.plant()
        seen: dict[str, int] = {}
        number = 0
        changed: set[Pair] = set()

        def note(name: str, at: int) -> None:
            if at * 1e6 >= incident.planted_at:
                seen.setdefault(name, at)

        def look() -> bool:
            for at, vantage, target, shade in chart.page.evaluate("window.seen.splice(0).flat()"):
                if usual.setdefault((vantage, target), shade) != shade:
                    changed.add((vantage, target))
                    note("map", at)
                if changed >= AFFECTED:
                    note("map, all pairs", at)
            for at, place, words in overview.page.evaluate("window.seen.splice(0).flat()"):
                if place == "events":
                    continue  # what is over by now is none of it
                name = "overview" if place == "suspected" else "proven"
                note(name, at)
                if ALL in words:
                    note(f"{name}, all pairs", at)
                leg = LEG.search(words.strip())
                if leg is not None and {end.split(" (")[0] for end in leg.groups()} == CITIES:
                    note("overview, leg", at)
            for at, listed, leg in suspicion.page.evaluate("window.seen.splice(0)"):
                if {tuple(words.split(" from ")[::-1]) for words in listed} == AFFECTED:
                    note("suspicion, all pairs", at)
                    if {incident.site_of(address) for address in leg} == ENDS:
                        note("suspicion, leg", at)
            if "path" not in seen:
                path.go("/t/bay.lab/path")
                if _last_hop_ms(path.page, "lon") > 45:
                    note("path", path.page.evaluate("performance.timeOrigin"))
            return len(seen) >= number

        try:
            for number in range(1, len(SIGHTS) + 1):  # patience is for the next one, not for all
                eventually(look, f"{number} of {SIGHTS}, after {sorted(seen)}")
            assert seen.keys() == SIGHTS
        finally:
            passed = {name: incident.passed(int(at * 1e6)) for name, at in seen.items()}
            rounds = {name: least if "all" in name else most for name, (least, most) in passed.items()}
            late_s = {name: round(at / 1e3 - incident.planted_at / 1e9, 1) for name, at in seen.items()}
            print(rounds, passed, late_s)  # noqa: T201 - shown by -rP
        yield Sight(incident, overview, rounds, changed)
        for each in (overview, chart, path, suspicion):
            assert not each.complaints
            each.page.context.close()


def _last_hop_ms(page: Page, vantage: str) -> float:
    """The last hop's round trip in a vantage's table of hops, 0 while there is none."""
    words = page.evaluate(
        "name => [...document.querySelectorAll('section')].find(each => each.querySelector('h2')?.textContent.includes(name))"
        "?.querySelector('tbody tr:last-child td:last-child')?.textContent ?? ''",
        f"From {vantage}",
    )
    found = re.findall(r"\d+\.?\d*", words)
    return float(found[0]) if found else 0.0


def test_pages_show_it_with_its_leg_and_its_pairs_within_two_rounds_and_its_proof_within_two_more(
    sight: Sight,
) -> None:
    for page in SIGHTS - PROOF:
        assert sight.rounds[page] <= SEEN_WITHIN, page
    for page in PROOF:
        assert sight.rounds[page] <= PROVEN_BY + SEEN_WITHIN, page
    assert sight.changed == AFFECTED, "nobody else's line changed on the map"


def test_which_leg_broke_since_when_and_who_else_is_affected_takes_two_clicks(sight: Sight) -> None:
    page, incident = sight.overview.page, sight.incident
    assert "degraded now" in page.locator("h1").inner_text()
    assert page.locator("h1 .state").inner_text() != "well"
    lines = page.locator("#open a, #events a", has_text=ALL)
    lines.last.click()  # what began first: a busy machine may have been slow by itself since
    page.wait_for_url("**/events/*")
    eventually(
        lambda: page.locator("#leg tbody tr").count() > 0 or page.reload() is None, "a leg on the page"
    )
    legs = [row.locator(".mono").all_inner_texts() for row in page.locator("#leg tbody tr").all()]
    assert [{incident.site_of(address) for address in leg} for leg in legs] == [ENDS]
    since = (
        page.locator(".card", has=page.get_by_role("heading", name="Since when"))
        .locator("time")
        .first.get_attribute("datetime")
        or ""
    )
    planted_s = incident.planted_at / 1e9
    assert abs(datetime.fromisoformat(since).timestamp() - planted_s) <= SEEN_WITHIN
    page.locator("summary", has_text="pairs affected").click()
    listed = {tuple(words.split(" from ")[::-1]) for words in page.locator("#affected a").all_inner_texts()}
    assert listed == AFFECTED
