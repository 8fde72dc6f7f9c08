"""What moves on pages: dragging and keys zoom, a page that waits looks again, and the (i) speaks of the newest round."""

from urllib.parse import parse_qs, urlparse

import pytest
from playwright.sync_api import Browser, expect
from tests.browser import world
from tests.browser.conftest import opened
from tests.browser.served import Served
from tests.browser.test_live import store

pytestmark = pytest.mark.browser
PAIR = f"/t/{world.MOVED}/from/lon"


def test_dragging_over_a_chart_asks_for_that_stretch_and_keys_follow_the_links(
    chromium: Browser, alone: Served
) -> None:
    one = opened(chromium, alone.url)
    one.go(f"{PAIR}?w=3h")
    one.page.locator("svg.smoke").first.scroll_into_view_if_needed()
    box = one.page.locator("svg.smoke").first.bounding_box()
    assert box is not None
    middle = box["y"] + box["height"] * 0.7
    one.page.mouse.move(box["x"] + box["width"] * 0.3, middle)
    one.page.mouse.down()
    one.page.mouse.move(box["x"] + box["width"] * 0.6, middle, steps=3)
    expect(one.page.locator(".zoom-span")).to_have_count(1)
    with one.page.expect_navigation():
        one.page.mouse.up()
    asked = parse_qs(urlparse(one.page.url).query)
    assert asked.keys() == {"start", "end"}
    closer = one.page.locator("[data-zoom=closer]").get_attribute("href")
    with one.page.expect_navigation():
        one.page.keyboard.press("+")
    assert one.page.url == f"{alone.url}{closer}"
    assert not one.complaints
    one.page.context.close()


def test_a_page_that_waits_for_answers_looks_again_by_itself(chromium: Browser, alone: Served) -> None:
    one = opened(chromium, alone.url)
    one.go(f"/measurements/{world.ASKED}")
    one.page.evaluate("document.querySelector('[data-poll]').dataset.old = '1'; window.here = 1")
    expect(one.page.locator("[data-old]")).to_have_count(0)
    expect(one.page.locator("[data-poll]")).to_have_count(1)
    assert one.page.evaluate("window.here") == 1, "the page was never loaded again"
    one.page.context.close()


def test_the_explanation_beside_a_number_speaks_of_the_round_that_is_shown(
    chromium: Browser, shared: Served
) -> None:
    one = opened(chromium, shared.url)
    one.go(f"/t/{world.MOVED}")
    expect(one.page.locator("#live")).to_have_attribute("data-state", "on")
    row = one.page.locator(f'tr[data-series="{world.MOVED}/lon/gateway/tcp"]')
    link = row.locator("[data-round]")
    before = link.get_attribute("href")
    store(shared, 123.46)
    expect(row.locator("[data-rtt]")).to_contain_text("123")
    assert link.get_attribute("href") != before
    assert link.text_content() == (link.get_attribute("href") or "").rpartition("/")[2]
    expect(row.locator(".note")).to_contain_text("just now")
    one.page.context.close()
