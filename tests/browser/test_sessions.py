"""A hub with keys: strangers see what is public, a session shows the rest, and ends with its key."""

from contextlib import closing

import httpx2
import pytest
from playwright.sync_api import Browser, expect
from tests.browser import world
from tests.browser.conftest import opened
from tests.browser.served import PATIENCE_S, Served
from tests.browser.test_pages import PAGES

from nettrace.hub.keyring import revoke
from nettrace.hub.open import open_reader
from nettrace.model.account import Scope

pytestmark = pytest.mark.browser
PUBLIC = (
    "/",
    "/status",
    f"/status/{world.MOVED}",
    "/playground",
    "/pricing",
    "/docs",
    "/login",
    "/openapi.json",
)


def sign_in(hub: Served, page, secret: str) -> None:
    page.goto(f"{hub.url}/targets?cat=Equities")
    assert "/login?next=/targets" in page.url
    page.get_by_label("API key").fill(secret)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(lambda url: url == f"{hub.url}/targets?cat=Equities")


def key(hub: Served, tier: str = "enterprise_pro", account: str = "acct-a", **more: object) -> str:
    with closing(hub.writer()) as writer:
        return world.give_key(writer, tier, account, **more)


def test_strangers_see_what_is_public_and_nothing_else(chromium: Browser, shared: Served) -> None:
    key(shared)
    with httpx2.Client(base_url=shared.url, timeout=PATIENCE_S) as stranger:
        for path in PAGES:
            answer = stranger.get(path)
            public = path in PUBLIC or path.startswith("/status")
            assert answer.status_code == (200 if public else 302), path
            if not public:
                assert answer.headers["location"].startswith("/login?next="), path
            assert world.OWN not in answer.text, path
        assert stranger.get("/api/v1/stream").status_code == 401
        assert stranger.get(f"/status/{world.OWN}").status_code == 404
        assert "unknown target" in stranger.get(f"/widget/{world.OWN}").text
        assert world.OWN not in stranger.get("/palette.json").text + stranger.get("/status/feed.json").text
    one = opened(chromium, shared.url)
    for path in PUBLIC:
        assert one.go(path) == 200
        assert one.page.locator("[data-live]").count() == 0
    one.go("/playground?op=getLatency")
    one.page.get_by_role("button", name="Send").click()
    expect(one.page.locator("#outcome")).to_contain_text("demo data")
    expect(one.page.locator("#answer")).to_contain_text('"rtt_ms"')
    expect(one.page.locator("#told")).to_contain_text("invented numbers")
    assert not one.complaints and not one.strangers
    one.page.context.close()


def test_a_session_lasts_as_long_as_its_key(chromium: Browser, shared: Served) -> None:
    secret = key(shared)
    one = opened(chromium, shared.url)
    one.go("/login")
    one.page.get_by_label("API key").fill("nt_live_wrong")
    one.page.get_by_role("button", name="Sign in").click()
    expect(one.page.get_by_role("alert")).to_contain_text("not an API key")
    sign_in(shared, one.page, secret)
    (cookie,) = one.page.context.cookies()
    assert cookie["httpOnly"] and cookie["sameSite"] == "Strict" and secret not in cookie["value"]
    expect(one.page.locator("#live")).to_have_attribute("data-state", "on")
    with closing(shared.writer()) as writer, closing(open_reader(shared.data)) as reader:
        (held,) = reader.keys("acct-a")
        revoke(writer, reader, held.id, held.created_at + 1)
    expect(one.page.locator("#live")).to_have_text("signed out")
    one.go("/targets")
    assert "/login" in one.page.url
    one.page.context.close()


def test_sessions_are_listed_and_one_ended_elsewhere_is_dead_with_its_live_page(
    chromium: Browser, shared: Served
) -> None:
    secret = key(shared)
    one, other = (opened(chromium, shared.url, user_agent=f"Browser {name}") for name in "ab")
    for each in (one, other):
        sign_in(shared, each.page, secret)
    expect(other.page.locator("#live")).to_have_attribute("data-state", "on")
    one.go("/account")
    rows = one.page.locator("#sessions + .scroll tbody tr")
    expect(rows).to_have_count(2)
    mine, theirs = rows.filter(has_text="Browser a"), rows.filter(has_text="Browser b")
    expect(mine).to_contain_text("this session")
    expect(theirs).to_contain_text("127.0.0.1")
    (cookie,) = other.page.context.cookies()
    theirs.get_by_role("button").click()
    expect(rows).to_have_count(1)
    expect(other.page.locator("#live")).to_have_text("signed out")
    assert (
        httpx2.get(
            f"{shared.url}/account", cookies={cookie["name"]: cookie["value"]}, timeout=PATIENCE_S
        ).status_code
        == 302
    )
    sign_in(shared, other.page, secret)
    one.go("/account")
    one.page.get_by_role("button", name="End all others").click()
    expect(rows).to_have_count(1)
    other.go("/targets")
    assert "/login" in other.page.url
    (cookie,) = one.page.context.cookies()
    one.page.get_by_role("button", name="Sign out").click()
    one.page.wait_for_url("**/")
    assert (
        httpx2.get(
            f"{shared.url}/account", cookies={cookie["name"]: cookie["value"]}, timeout=PATIENCE_S
        ).status_code
        == 302
    )
    assert not one.complaints
    for each in (one, other):
        each.page.context.close()


def test_other_accounts_targets_and_events_stay_theirs(chromium: Browser, shared: Served) -> None:
    one = opened(chromium, shared.url)
    secrets = {account: key(shared, account=account) for account in ("acct-a", "acct-own")}
    for account, secret in secrets.items():
        one.page.context.clear_cookies()
        sign_in(shared, one.page, secret)
        for path in ("/", "/targets", "/matrix", "/map", "/events", "/palette.json"):
            one.go(path)
            shown = world.OWN in one.page.content()
            if path in {"/", "/events"} and account == "acct-own":
                continue  # there events with one cause are one line, which may name their number only
            assert shown == (account == "acct-own"), (account, path)
        assert one.go("/events/ev_own") == (200 if account == "acct-own" else 404)
        assert one.go(f"/t/{world.OWN}") == (200 if account == "acct-own" else 404)
    one.page.context.close()


def test_the_account_page_makes_shows_once_and_revokes_keys(chromium: Browser, shared: Served) -> None:
    one = opened(chromium, shared.url)
    sign_in(shared, one.page, key(shared, "pro"))
    one.page.get_by_role("link", name="Account", exact=True).click()
    expect(one.page.locator("main")).to_contain_text("of 10,000")
    one.page.get_by_label("Name").fill(world.MARKUP)
    one.page.get_by_role("button", name="Make a key").click()
    made = one.page.locator("code.secret").inner_text()
    called = httpx2.get(
        f"{shared.url}/api/v1/limits", headers={"Authorization": f"Bearer {made}"}, timeout=PATIENCE_S
    ).json()
    assert (called["account"], called["tier"], called["scopes"]) == ("acct-a", "pro", ["read"])
    one.go("/account")
    assert made not in one.page.content()
    row = one.page.get_by_role("row").filter(has_text=world.MARKUP)
    row.get_by_role("button").click()
    expect(row).to_contain_text("revoked")
    assert (
        httpx2.get(
            f"{shared.url}/api/v1/limits", headers={"Authorization": f"Bearer {made}"}, timeout=PATIENCE_S
        ).status_code
        == 401
    )
    one.page.get_by_role("button", name="Sign out").click()
    one.page.wait_for_url(f"{shared.url}/")
    assert not one.page.context.cookies()
    assert not one.complaints
    one.page.context.close()


def test_forms_of_other_sites_and_other_sessions_do_nothing(chromium: Browser, shared: Served) -> None:
    one = opened(chromium, shared.url)
    sign_in(shared, one.page, key(shared))
    (cookie,) = one.page.context.cookies()
    one.go("/account")
    token = one.page.locator("input[name=token]").first.get_attribute("value") or ""
    one.page.context.close()
    session = {"Cookie": f"{cookie['name']}={cookie['value']}"}
    before = _keys(shared)
    with httpx2.Client(base_url=shared.url, timeout=PATIENCE_S) as client:
        refused = [
            client.post("/account/keys", data={"name": "x"}, headers=session),
            client.post("/account/keys", data={"name": "x", "token": "0" * 64}, headers=session),
            client.post(
                "/account/keys", data={"token": token}, headers={**session, "Origin": "http://evil.example"}
            ),
            client.post(
                "/account/keys", data={"token": token}, headers={**session, "Sec-Fetch-Site": "cross-site"}
            ),
            client.post("/account/keys", data={"token": token}),
            client.post("/account/keys/revoke", data={"id": before[0].id}, headers=session),
            client.post("/login", data={"key": "x"}, headers={"Sec-Fetch-Site": "cross-site"}),
        ]
        assert all(answer.status_code in {401, 403} for answer in refused), [
            each.status_code for each in refused
        ]
        assert _keys(shared) == before
        assert (
            client.post("/account/keys", data={"name": "mine", "token": token}, headers=session).status_code
            == 200
        )
    assert len(_keys(shared)) == len(before) + 1


def test_a_key_without_its_scope_and_a_tier_without_its_feature_are_told_so(
    chromium: Browser, shared: Served
) -> None:
    one = opened(chromium, shared.url)
    sign_in(shared, one.page, key(shared, "free", scopes=frozenset({Scope.READ})))
    assert one.page.locator("[data-live]").count() == 0, (
        "this tier has no stream: the page does not ask for one"
    )
    one.go("/account")
    expect(one.page.locator("main")).to_contain_text("lacks the scope keys")
    assert one.go("/events") == 403
    expect(one.page.get_by_role("link", name="What each tier holds")).to_be_visible()
    one.page.context.close()


def _keys(hub: Served):
    with closing(open_reader(hub.data)) as reader:
        return list(reader.keys())
