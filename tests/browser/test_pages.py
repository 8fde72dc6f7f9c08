"""Every page: it loads, says nothing in the console, asks nobody else, fits a phone, and everybody can use it."""

import gzip
import re
from pathlib import Path

import httpx2
import pytest
from playwright.sync_api import Browser
from tests.api.conftest import STAND
from tests.browser import world
from tests.browser.conftest import opened
from tests.browser.served import PATIENCE_S, Served

from nettrace.web.doors import page_doors
from nettrace.web.plan import Asked, example

pytestmark = pytest.mark.browser
AXE = (Path(__file__).with_name("vendor") / "axe.min.js").read_text()
PLAN = Asked(text=example())
PAGES = (
    "/", "/targets", f"/t/{world.MOVED}", f"/t/{world.ODD}", f"/t/{world.MOVED}/from/lon", f"/t/{world.MOVED}/path",
    "/matrix", "/matrix?diff=1", "/map", "/leaderboard", "/leaderboard/Equities", f"/compare?hosts={world.MOVED},{world.BROKEN}", "/compare", "/events", "/events/suspected",
    "/events/ev_odd", "/signals", "/fleet", "/status", f"/status/{world.MOVED}", f"/status/{world.ODD}", "/playground",
    "/pricing", "/account", "/login", f"/t/{world.MOVED}?embed=1", f"/status/{world.MOVED}?embed=1",
    "/signals?w=7d", f"/t/{world.MOVED}/path?group=as&against={world.BEFORE}", f"/measurements/{world.ASKED}", "/map?embed=1", "/matrix?embed=1", f"/t/{world.MOVED}/path?embed=1",
    f"/t/{world.MOVED}/from/lon?embed=1", f"/status/{world.MOVED}?embed=days", "/events/ev_0?embed=1", "/mesh", "/mesh/lon/nyc",
    "/plan", PLAN.address(), PLAN.address(embed="1", part="map"), PLAN.address(embed="1", part="pareto"), "/claims", "/claims?sort=-floor&finding=impossible", "/claims?embed=1",
)  # fmt: skip
SCHEMES = {"light": "", "dark": "{ runOnly: ['color-contrast'] }"}
"""What is asked of axe in each: all but contrast is the same in both."""
MAIN = ("/", "/targets", f"/t/{world.MOVED}", f"/t/{world.MOVED}/from/lon", f"/t/{world.MOVED}/path", "/matrix", "/map", "/status", "/playground")  # fmt: skip
REFERENCE = ("/docs", "/problems/not-found")
"""Pages of the API's own: the same is asked of them."""
PAGE_BYTES = 200_000


NO_PAGES = ("/status/feed.json", "/status/{host:str}/feed.xml", "/palette.json", "/widget/{host:str}", "/badge/{host:str}/{file:str}",
            "/static/{stamp:str}/{name:path}", "/events/{id:str}/replay.csv", "/favicon.ico",
            "/status/{host:str}/feed.ics", "/status/{host:str}/preview.png")  # fmt: skip
"""What is served beside pages: feeds, badges, files."""


def test_no_page_is_forgotten_here() -> None:
    routes = {path for door in page_doors(STAND) if "GET" in door.http_methods for path in door.paths}  # type: ignore[arg-type]
    patterns = {path: re.compile(re.sub(r"\{\w+:str\}", "[^/]+", path)) for path in routes - set(NO_PAGES)}
    shown = {page.partition("?")[0] for page in PAGES}
    assert not {path for path, pattern in patterns.items() if not any(map(pattern.fullmatch, shown))}
    assert set(NO_PAGES) <= routes


def test_every_page_is_free_of_errors_and_strangers_and_of_what_bars_people(
    chromium: Browser, alone: Served
) -> None:
    one = opened(chromium, alone.url, color_scheme="light", bypass_csp=True)
    one.page.context.add_init_script(AXE)
    found: list[str] = []
    for path in (*PAGES, *REFERENCE):
        assert one.go(path) == 200, path
        if path == "/playground":
            one.page.wait_for_selector("#playground:not([hidden])")
        for scheme, asked in SCHEMES.items():
            one.page.emulate_media(color_scheme=scheme)
            for each in one.page.evaluate(f"axe.run({asked}).then(done => done.violations)"):
                found += [
                    f"{path} {scheme} {each['id']}: {node['target']} {node['failureSummary']}"
                    for node in each["nodes"][:2]
                ]
        one.page.emulate_media(color_scheme="light")
    one.page.context.close()
    assert not found, "\n".join(found)
    assert not one.complaints
    assert not one.strangers


def test_every_page_fits_a_phone_and_obeys_its_own_policy(chromium: Browser, alone: Served) -> None:
    one = opened(chromium, alone.url, viewport={"width": 360, "height": 740})
    wide: dict[str, int] = {}
    for path in (*PAGES, *REFERENCE):
        one.go(path)
        if path == "/playground":
            one.page.wait_for_selector("#playground:not([hidden])")
        if (width := one.page.evaluate("document.documentElement.scrollWidth")) > 360:
            wide[path] = width
    one.page.context.close()
    assert not wide
    assert not one.complaints  # among them every breach of the content security policy
    assert not one.strangers


def test_the_mesh_shows_each_way_by_itself(chromium: Browser, alone: Served) -> None:
    one = opened(chromium, alone.url)
    one.go("/mesh")
    row = one.page.locator("tbody tr").first.inner_text()
    assert "lon ⇄ nyc" in row and "35.0 ms ±0.09 ms; 0 of 5 lost, 0 out of order, 9 hops" in row
    one.page.get_by_role("link", name="lon ⇄ nyc").click()
    one.page.wait_for_url("**/mesh/lon/nyc")
    assert [each.inner_text() for each in one.page.locator("tbody th").all()] == ["lon → nyc", "nyc → lon"]
    one.page.context.close()


def test_what_a_status_page_says_needs_no_script(chromium: Browser, alone: Served) -> None:
    one = opened(chromium, alone.url, java_script_enabled=False)
    one.go("/status")
    one.page.get_by_role("link", name="Northgate").click()
    one.page.wait_for_url(f"**/status/{world.MOVED}")
    assert one.page.locator("h1").inner_text().startswith("Northgate")
    assert one.page.locator("svg.uptime rect").count() == 90
    assert one.page.locator("svg.smoke").count() == len(world.CITIES)
    one.go("/targets")
    assert one.page.locator("tbody tr").count() == len(world.VENUES) + 1
    one.go("/playground")
    assert "needs JavaScript" in one.page.locator("noscript").inner_html()
    one.page.context.close()


def test_a_name_in_markup_is_text_wherever_it_stands(chromium: Browser, alone: Served) -> None:
    one = opened(chromium, alone.url)
    alarms: list[str] = []
    one.page.on("dialog", lambda dialog: (alarms.append(dialog.message), dialog.dismiss()))
    shown = ["/", "/targets", f"/t/{world.ODD}", f"/t/{world.ODD}/from/lon", f"/t/{world.ODD}/path", "/matrix", "/map", "/leaderboard",
             f"/compare?hosts={world.ODD},{world.MOVED}", "/events", "/events/ev_odd", "/status", f"/status/{world.ODD}"]  # fmt: skip
    for path in shown:
        one.go(path)
        assert one.page.locator("main script, main b b, main i, h1 b, h1 i, th b b, u").count() == 0, path
    for path in (f"/t/{world.ODD}", f"/status/{world.ODD}"):
        one.go(path)
        assert world.MARKUP in one.page.locator("h1").inner_text()
    for path in ("/targets", "/status"):
        one.go(path)
        assert one.page.get_by_text(world.MARKUP, exact=True).count() == 1
    for path in (f"/widget/{world.ODD}", f"/badge/{world.ODD}/rtt.svg", f"/status/{world.ODD}/feed.xml"):
        read = one.page.evaluate(
            "path => fetch(path).then(a => a.text()).then(t => { const d = new DOMParser().parseFromString(t, 'text/xml');"
            " return [d.getElementsByTagName('parsererror').length, d.getElementsByTagName('script').length]; })",
            path,
        )
        assert read == [0, 0], path
    one.go("/?from=%3Cscript%3Ealert(2)%3C/script%3E")
    one.go("/leaderboard?category=%22%3E%3Cscript%3Ealert(3)%3C/script%3E")
    one.go("/t/%3Cscript%3Ealert(4)%3C%2Fscript%3E")
    one.page.context.close()
    assert not alarms


@pytest.mark.parametrize("path", MAIN)
def test_a_main_page_with_all_it_loads_weighs_little(chromium: Browser, alone: Served, path: str) -> None:
    one = opened(chromium, alone.url)
    answers = []
    one.page.on("response", lambda answer: answers.append(answer))  # noqa: PLW0108 - playwright sets an attribute on it
    one.go(path)
    weights = {
        answer.url.removeprefix(alone.url): _weight(answer.url)
        for answer in answers
        if "/stream" not in answer.url
    }
    one.page.context.close()
    total = sum(weights.values())
    print(f"{path}: {total} bytes in {len(weights)} answers")  # noqa: T201 - shown by -rP
    assert total <= PAGE_BYTES, weights
    assert any(name.endswith("app.css") for name in weights)


def _weight(url: str) -> int:
    """Bytes of an answer's body on the wire."""
    with httpx2.stream("GET", url, headers={"Accept-Encoding": "gzip"}, timeout=PATIENCE_S) as answer:
        raw = b"".join(answer.iter_raw())
        if answer.headers.get("content-encoding") == "gzip":
            assert len(gzip.decompress(raw)) > len(raw)
        return len(raw)


@pytest.mark.parametrize("path", [*PAGES, "/palette.json", "/status/feed.json", f"/status/{world.MOVED}/feed.xml", "/nowhere", "/t/nowhere.example", f"/widget/{world.MOVED}", "/static/other/app.css", "/docs"])  # fmt: skip
def test_every_answer_has_a_policy_without_anything_unsafe(alone: Served, path: str) -> None:
    answer = httpx2.get(alone.url + path, timeout=PATIENCE_S)
    policy = answer.headers.get("content-security-policy", "")
    if path == "/nowhere":  # the API's own answer: not a page
        assert answer.headers["content-type"].startswith("application/problem+json")
        return
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    framed = "frame-ancestors *" in policy
    assert framed == ("embed=" in path)
    if "embed=" in path:
        assert "script" not in policy and "<script" not in answer.text
