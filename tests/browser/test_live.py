"""What is stored shows without a reload; a page whose connection is gone says so and finds its way back."""

import re
import time
from contextlib import closing

import msgspec
import pytest
from playwright.sync_api import Browser, Page, expect
from tests.api.conftest import ping, record
from tests.browser import world
from tests.browser.conftest import opened
from tests.browser.served import Served

from nettrace.model.instant import NS_PER_S
from nettrace.wire.frames import Report

pytestmark = pytest.mark.browser


def store(hub: Served, rtt_ms: float | None) -> None:
    """A round of `lon` at the moved venue, now."""
    now = time.time_ns()
    with closing(hub.writer()) as writer:
        empty = Report(node="node-lon", epoch=world.EPOCH, first_seq=1, entries=(), sent_at=now)
        seq = writer.accept(empty, now).upto_seq + 1
        entry = record(seq, world.MOVED, "gateway", now - NS_PER_S, ping(world.MOVED, rtt_ms, now))
        writer.accept(msgspec.structs.replace(empty, first_seq=seq, entries=(entry,)), now)


def test_a_stored_round_shows_without_a_reload_and_a_lost_connection_is_said(
    chromium: Browser, shared: Served
) -> None:
    one = opened(chromium, shared.url)
    one.go(f"/t/{world.MOVED}")
    one.page.evaluate("window.here = 1")
    mark, row = (
        one.page.locator("#live"),
        one.page.locator(f'tr[data-series="{world.MOVED}/lon/gateway/tcp"]'),
    )
    expect(mark).to_have_attribute("data-state", "on")
    store(shared, 123.46)
    expect(row.locator("[data-rtt]")).to_contain_text("123")
    store(shared, None)
    expect(row.locator(".state")).to_have_text("no answer: timeout")
    expect(row.locator("[data-rtt]")).to_have_class("stale")
    assert not one.complaints
    shared.stop_worker()
    expect(mark).to_have_attribute("data-state", "lost")
    expect(mark).to_contain_text("onnect")
    fresh, stale = (
        _ink(one.page, "h1"),
        _ink(one.page, f'tr[data-series="{world.MOVED}/fra/gateway/tcp"] [data-rtt]'),
    )
    assert fresh != stale, "a number nobody refreshes looks like one"
    store(shared, 77.75)  # while nobody served: the stream resumes where it broke off
    shared.start_worker()
    expect(mark).to_have_attribute("data-state", "on")
    expect(row.locator("[data-rtt]")).to_contain_text("77.8")
    assert one.page.evaluate("window.here") == 1, "the page was never loaded again"
    one.page.context.close()


def _ink(page: Page, selector: str) -> tuple[str, str]:
    return tuple(
        page.locator(selector).first.evaluate(
            "e => [getComputedStyle(e).color, getComputedStyle(e).fontStyle]"
        )
    )


def test_what_is_stored_between_the_page_and_its_stream_is_shown(chromium: Browser, shared: Served) -> None:
    one = opened(chromium, shared.url)
    one.page.route("**/api/v1/stream**", lambda route: (store(shared, 55.51), route.continue_()))
    one.go(f"/t/{world.MOVED}")
    row = one.page.locator(f'tr[data-series="{world.MOVED}/lon/gateway/tcp"]')
    expect(row.locator("[data-rtt]")).to_contain_text("55.5")
    one.page.context.close()


def test_the_playground_asks_shows_the_price_and_listens(chromium: Browser, alone: Served) -> None:
    one = opened(chromium, alone.url)
    one.go(f"/playground?op=getLatency&host={world.MOVED}&region=lon")
    code, answer = one.page.locator("#code"), one.page.locator("#answer")
    expect(one.page.locator("#url")).to_have_text(f"GET /api/v1/latency/{world.MOVED}?region=lon")
    expect(code).to_contain_text("curl")
    one.page.get_by_role("button", name="Python").click()
    expect(code).to_contain_text("urllib.request")
    one.page.get_by_role("button", name="Send").click()
    expect(answer).to_contain_text(f'"host": "{world.MOVED}"')
    expect(one.page.locator("#outcome")).to_contain_text("200")
    one.page.get_by_label("region").fill("nyc")
    expect(one.page).to_have_url(re.compile("region=nyc"))
    one.page.get_by_role("button", name="Listen").click()
    expect(one.page.locator("#stream div").last).to_contain_text("snapshot")
    one.page.get_by_role("button", name="Stop").click()
    expect(one.page.locator("#stream-state")).to_have_text("not listening")
    assert not one.complaints and not one.strangers
    one.page.context.close()
