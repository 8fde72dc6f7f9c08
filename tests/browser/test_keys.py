"""By keyboard alone: the palette, the list of keys, the matrix, the colours."""

import re

import pytest
from playwright.sync_api import Browser, expect
from tests.browser import world
from tests.browser.conftest import opened
from tests.browser.served import Served

pytestmark = pytest.mark.browser


def test_the_palette_finds_a_target_and_goes_there(chromium: Browser, alone: Served) -> None:
    one = opened(chromium, alone.url)
    one.go("/")
    one.page.keyboard.press("Control+k")
    one.page.keyboard.type("northg")
    expect(one.page.locator("#palette").get_by_role("option", selected=True)).to_contain_text("Northgate")
    one.page.keyboard.press("Enter")
    one.page.wait_for_url(f"**/t/{world.MOVED}")
    one.page.keyboard.press("Control+k")
    one.page.keyboard.press("Escape")
    expect(one.page.locator("#palette")).not_to_be_visible()
    one.page.keyboard.press("?")
    expect(one.page.get_by_role("dialog", name="Keys")).to_contain_text("find")
    one.page.keyboard.press("Escape")
    one.page.keyboard.type("gm")
    one.page.wait_for_url("**/matrix")
    assert not one.complaints
    one.page.context.close()


def test_arrows_move_between_cells_of_the_matrix(chromium: Browser, alone: Served) -> None:
    one = opened(chromium, alone.url)
    one.go("/matrix")
    cell = "document.activeElement.closest('td, th').cellIndex + ',' + document.activeElement.closest('tr').rowIndex"
    one.page.locator("#heat tbody tr").nth(0).locator("td a").nth(0).focus()
    assert one.page.evaluate(cell) == "1,1"
    for key, lands in (("ArrowRight", "2,1"), ("ArrowDown", "2,2"), ("ArrowLeft", "1,2"), ("ArrowUp", "1,1")):
        one.page.keyboard.press(key)
        assert one.page.evaluate(cell) == lands
    one.page.context.close()


def test_colours_are_chosen_and_kept(chromium: Browser, alone: Served) -> None:
    one = opened(chromium, alone.url, color_scheme="light")
    one.go("/")
    paper = "getComputedStyle(document.documentElement).backgroundColor"
    light = one.page.evaluate(paper)
    one.page.locator("#theme").press("Enter")
    dark = one.page.evaluate(paper)
    assert dark != light
    one.go("/targets")
    assert one.page.evaluate(paper) == dark
    one.page.context.close()


def test_the_first_stop_of_the_tab_key_skips_the_bar(chromium: Browser, alone: Served) -> None:
    one = opened(chromium, alone.url)
    one.go("/targets")
    one.page.keyboard.press("Tab")
    assert one.page.evaluate("document.activeElement.textContent") == "Skip to content"
    one.page.keyboard.press("Enter")
    expect(one.page.locator("#main")).to_be_focused()
    one.page.context.close()


REACHED = """() => {
  const wanted = [...document.querySelectorAll('a[href], button, input, select, textarea, summary, [tabindex="0"]')]
    .filter(each => each.tabIndex >= 0 && each.checkVisibility() && !each.disabled && !each.closest('dialog, [popover]'));
  return wanted.filter(each => !window.met.has(each)).map(each => each.outerHTML.slice(0, 100));
}"""


@pytest.mark.parametrize("path", ["/", f"/t/{world.MOVED}/from/lon", "/map", "/events/ev_0"])
def test_the_tab_key_reaches_every_control_and_shows_where_it_is(
    chromium: Browser, alone: Served, path: str
) -> None:
    one = opened(chromium, alone.url)
    one.go(path)
    one.page.evaluate(
        "window.met = new Set(); addEventListener('focusin', event => window.met.add(event.target))"
    )
    count = one.page.evaluate("document.querySelectorAll('*').length")
    unseen: list[str] = []
    for _ in range(min(400, count)):
        one.page.keyboard.press("Tab")
        at = one.page.evaluate(
            "(() => { const at = document.activeElement, look = getComputedStyle(at);"
            " return [at.outerHTML.slice(0, 80), at === document.body, look.outlineStyle !== 'none' || look.boxShadow !== 'none']; })()"
        )
        if at[1]:
            break
        if not at[2]:
            unseen.append(at[0])
    assert one.page.evaluate(REACHED) == []
    assert not unseen
    one.page.context.close()


def test_nothing_moves_for_whoever_asked_for_rest(chromium: Browser, alone: Served) -> None:
    one = opened(chromium, alone.url)  # reduced motion is how these tests look at pages
    for path in ("/", "/map", "/targets"):
        one.go(path)
        assert (
            one.page.evaluate("document.getAnimations().filter(each => each.playState === 'running').length")
            == 0
        )
        assert one.page.evaluate("getComputedStyle(document.documentElement).scrollBehavior") == "auto"
    one.page.context.close()


def test_paper_gets_the_page_and_not_its_controls(chromium: Browser, alone: Served) -> None:
    one = opened(chromium, alone.url, color_scheme="dark")
    for path in ("/", f"/t/{world.MOVED}", "/status"):
        one.go(path)
        one.page.emulate_media(media="print")
        assert not one.page.locator("header.top nav").is_visible(), path
        assert one.page.locator("h1").is_visible()
        paper = one.page.evaluate("getComputedStyle(document.body).color")
        assert sum(int(part) for part in re.findall(r"\d+", paper)[:3]) < 380, (
            f"{path}: light ink on white paper"
        )
        one.page.emulate_media(media="screen")
    one.page.context.close()
