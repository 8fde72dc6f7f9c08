"""Pages in this process, on a filled store: what stands under a chart answers, forms do what they say, numbers explain themselves."""

import re
import shutil
from collections.abc import AsyncIterator
from functools import cache
from html import unescape
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import httpx2
import msgspec
import pytest
from tests.api.conftest import NOW, STAND, Hub, filled, give_key, running

from nettrace.analysis.signals.replay import read_rows
from nettrace.api.app import make_app
from nettrace.api.service import Service
from nettrace.api.shield import Shield
from nettrace.client.fleet import FleetNode
from nettrace.hub.session import COOKIE, sealed
from nettrace.model.account import Scope
from nettrace.model.instant import NS_PER_S
from nettrace.model.vantage import Load
from nettrace.outside.places import find
from nettrace.store.rows import Event
from nettrace.web.doors import page_doors
from nettrace.web.visitor import form_token
from nettrace.wire.frames import Report

__all__ = ["filled"]
HOST, OTHER = "api.example.com", "b.example.com"
CHARTS = (
    f"/t/{HOST}", f"/t/{HOST}/from/nyc", f"/t/{HOST}/path", "/matrix", "/map", "/leaderboard", f"/compare?hosts={HOST},{OTHER}",
    "/signals", "/events/sig_002", f"/status/{HOST}",
)  # fmt: skip


@cache
def one_app() -> Shield:
    return make_app(cast(Service, STAND), page_doors(cast(Service, STAND)))


class Pages:
    """Pages and API of one hub, asked without a socket."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        STAND.service = hub.service
        self.client = httpx2.AsyncClient(
            transport=httpx2.ASGITransport(app=one_app()), base_url="http://localhost"
        )

    async def page(self, path: str) -> str:
        answer = await self.client.get(path)
        assert answer.status_code == 200, (path, answer.status_code, answer.text[:300])
        return answer.text


@pytest.fixture
async def pages(filled: Path, tmp_path: Path) -> AsyncIterator[Pages]:
    """A hub of one user."""
    async with running(shutil.copytree(filled, tmp_path / "hub")) as hub:
        made = Pages(hub)
        yield made
        await made.client.aclose()


def links(html: str) -> dict[str, set[str]]:
    """What stands under the charts of a page, by its words."""
    found: dict[str, set[str]] = {}
    for href, name in re.findall(r'<a href="([^"]+)">([^<]+)</a>', html):
        if name in {"CSV", "API call", "Permalink", "Rounds for a replay"} or name.startswith("API: "):
            found.setdefault(name.partition(":")[0], set()).add(unescape(href))
    for embed in re.findall(r'&lt;iframe src="(\S+?)" title="NetTrace"', html):
        found.setdefault("Embed", set()).add(unescape(embed).removeprefix("http://localhost"))
    return found


@pytest.mark.parametrize("path", CHARTS)
async def test_table_csv_call_permalink_and_embed_of_every_chart_answer(pages: Pages, path: str) -> None:
    html = await pages.page(path)
    found = links(html)
    assert {"CSV", "API call", "Permalink", "Embed"} <= set(found), (path, set(found))
    assert "As a table" in html or "<table" in html or "No pair can be drawn" in html
    for name, hrefs in found.items():
        for href in hrefs:
            if href.startswith("#"):
                continue
            answer = await pages.client.get(href)
            assert answer.status_code == 200, (path, name, href, answer.text[:200])
            if name == "CSV":
                assert answer.headers["content-type"].startswith("text/csv"), href
            if name == "Embed":
                assert "frame-ancestors *" in answer.headers["content-security-policy"]
                assert "<script" not in answer.text and "<form" not in answer.text, href


async def test_a_zoom_is_in_the_address_and_its_charts_show_that_stretch(pages: Pages) -> None:
    html = await pages.page(f"/t/{HOST}/from/nyc?w=3h")
    closer = unescape(re.findall(r'data-zoom="closer" href="([^"]+)"', html)[0])
    zoomed = await pages.page(closer)
    start, end = re.findall(r"start=([^&]+)&end=([^&]+)", closer)[0]
    assert f'data-start="{start}" data-end="{end}"' in zoomed
    assert 'value="" selected' in zoomed, "the list of stretches says that none of them is shown"


async def test_a_replay_has_the_rounds_as_the_detectors_saw_them(pages: Pages) -> None:
    sheet = await pages.page("/events/sig_002/replay.csv")
    rows = list(read_rows(sheet.splitlines()))
    assert len(rows) > 50


def slow_leg(**more: object) -> Event:
    """What the hub concludes of a cable that became slow under many pairs."""
    leg = {"a": "198.51.100.1", "b": "198.51.100.2", "added_ms": 53.4, "a_place": "Mumbai", "b_place": "Chennai", "confidence": 0.97}  # fmt: skip
    document = {
        "schema": "nettrace.degraded_leg/1", "kind": "degraded_leg", "tier": "confirmed", "direction": "up", "verdict": "leg", "legs": [leg],
        "affected": [["nyc", HOST], ["nyc", OTHER], ["fra", HOST]], "signals": [f"sig_{n}" for n in range(87)],
        "added_ms": 53.4, "loss": None, "opened_by": "leg_1", "updates": False,
    } | more  # fmt: skip
    at = NOW - 300 * NS_PER_S
    return Event(
        id=str(document.get("id", "leg_1")), kind="degraded_leg", at=at, detected_at=at + 60 * NS_PER_S, severity="critical",
        confidence=0.97, target=None, vantage=None, body=msgspec.json.encode(document),
    )  # fmt: skip


async def test_an_event_of_many_pairs_says_which_and_why_in_words_people_read(pages: Pages) -> None:
    pages.hub.store.publish([slow_leg()], NOW)
    html = await pages.page("/events/leg_1")
    assert "3 pairs: 2 targets from fra, nyc" in html
    assert "nobody else" not in html
    assert "<summary>87 entries</summary>" in html
    assert ">null<" in html and ">None<" not in html


async def test_a_vantage_is_not_among_who_else_sees_its_event(pages: Pages) -> None:
    html = await pages.page("/events/sig_002")
    assert "<h2>Who else sees it</h2><p>nobody else</p>" in html


async def test_the_path_page_names_a_degraded_leg_by_place_until_it_is_over_or_taken_back(
    pages: Pages,
) -> None:
    pages.hub.store.publish([slow_leg()], NOW)
    html = await pages.page(f"/t/{HOST}/path")
    assert "<b>Mumbai → Chennai</b>" in html and "+53.4 ms" in html and "/events/leg_1" in html
    pages.hub.store.publish([slow_leg(id="leg_2", updates=True, tier="transient")], NOW)
    assert "Mumbai" not in await pages.page(f"/t/{HOST}/path")


async def test_the_preview_a_status_page_names_is_a_picture(pages: Pages) -> None:
    html = await pages.page(f"/status/{HOST}")
    (image,) = re.findall(r'<meta property="og:image" content="([^"]+)">', html)
    answer = await pages.client.get(image.removeprefix("http://localhost"))
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png")
    assert answer.content.startswith(b"\x89PNG")


async def test_nothing_is_averaged_over_edges_and_engines(pages: Pages) -> None:
    html = await pages.page("/")
    assert "Of each kind of endpoint by itself" in html


async def test_a_key_that_may_not_measure_is_refused_by_the_form_as_by_the_api(pages: Pages) -> None:
    secret = give_key(pages.hub.store, "enterprise", scopes=frozenset({Scope.READ}))
    with pages.hub.reading() as reader:
        held_keys = list(reader.keys())
    key = next(each for each in held_keys if each.hint == secret[-4:])
    held = sealed(key.id, pages.hub.service.secret, NOW, "one")
    form = {"target": HOST, "token": form_token(held, pages.hub.service.secret)}
    refused = await pages.client.post("/measurements", data=form, headers={"Cookie": f"{COOKIE}={held}"})
    assert refused.status_code == 403


async def test_a_measurement_is_asked_for_once_paid_for_and_shown(pages: Pages) -> None:
    token = form_token("", pages.hub.service.secret)
    form = {"target": HOST, "method": "tcp", "region": "nyc", "token": token}
    refused = await pages.client.post("/measurements", data={**form, "token": "0" * 64})
    assert refused.status_code == 403
    answer = await pages.client.post("/measurements", data=form)
    assert answer.status_code == 303
    html = await pages.page(answer.headers["location"])
    assert "not answered yet" in html and "queued" in html
    with pages.hub.reading() as reader:
        (asked,) = reader.requests()
    assert (asked.target, asked.wanted, asked.method) == (HOST, ("nyc",), "tcp")
    stranger = await pages.client.post("/measurements", data={**form, "target": "not.in.the.catalogue"})
    assert stranger.status_code == 404


async def test_a_leaderboard_of_no_category_says_which_there_are(pages: Pages) -> None:
    answer = await pages.client.get("/leaderboard/Nonsense")
    assert answer.status_code == 404
    assert "Categories here: " in unescape(answer.text)


async def test_the_map_draws_its_worst_first_and_says_where_the_rest_is(
    pages: Pages, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, city in (("engine_place", "Tokyo"), ("vantage_place", "London")):
        monkeypatch.setattr(f"nettrace.web.map.{name}", lambda _, city=city: find(city))
    monkeypatch.setattr("nettrace.web.map.floor_to", lambda *_: SimpleNamespace(fibre_ns=10_000_000))
    everything = (await pages.page("/map")).count('data-pair="')
    monkeypatch.setattr("nettrace.web.map._FIRST", 1)
    first = await pages.page("/map")
    assert first.count('data-pair="') == 1
    assert f"1 worst of {everything} pairs" in first
    (rest,) = re.findall(r'data-rest="([^"]+)"', first)
    whole = await pages.page(unescape(rest))
    assert whole.count('data-pair="') == everything > 1
    assert 'data-whole="1"' in whole


async def test_the_fleet_tells_how_its_machines_are_and_what_waits_on_page_and_client(pages: Pages) -> None:
    load = Load(cpu_percent=12.4, memory_used_bytes=1, memory_bytes=4, replication_lag_s={"pg-sin": 1.25})
    report = Report(
        node="node-nyc",
        epoch="e",
        first_seq=10**6,
        sent_at=NOW,
        load=load,
        backlog=7,
        oldest_at=NOW - 90 * NS_PER_S,
    )
    pages.hub.store.heard("node-nyc", NOW, report, None)
    pages.hub.clock = NOW + 60 * NS_PER_S
    await pages.hub.service.refresh()
    text = unescape(re.sub(r"<[^>]+>", " ", await pages.page("/fleet")))
    for words in (
        "CPU 12 %",
        "memory 25 %",
        "pg-sin lags 1.25 s",
        "7 entries, the oldest for 90 s when last heard",
    ):
        assert words in text
    assert "disk" not in text, "what was not measured is not shown"
    rows = {row["region"]: row for row in (await pages.hub.json("/api/v1/fleet"))["data"]}
    node = msgspec.convert(rows["nyc"], FleetNode)
    assert node.load is not None
    assert (node.load.memory_percent, node.load.disk_percent, node.backlog) == (25.0, None, 7)
    assert node.backlog_since is not None
    assert msgspec.convert(rows["sin"], FleetNode).load is None
