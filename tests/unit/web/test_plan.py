"""The placement page in this process: a form's words become an address, a plan, files, or an error beside the form."""

import csv
import io
import re
import tomllib
import zipfile
from collections.abc import AsyncIterator
from html import unescape
from pathlib import Path

import httpx2
from tests.api.conftest import filled, give_key
from tests.unit.web.test_pages import Pages, pages

from nettrace.hub.claims import FINDINGS
from nettrace.hub.session import COOKIE, sealed
from nettrace.web.plan import Asked, example
from nettrace.web.planrows import rows_of
from nettrace.web.plantext import LONGEST, packed, unpacked, with_limits

__all__ = ["AsyncIterator", "Path", "filled", "pages"]
REQUEST = """[limits]
budget_usd_month = 70
[[venue]]
name = "near"
usd_per_ms_month = 3
lat = 40.7
lon = -74.0
[[venue]]
name = "<b>far</b>"
usd_per_ms_month = 1
[[site]]
name = "east"
usd_month = 60
lat = 40.8
lon = -74.1
[[site]]
name = "west"
usd_month = 40
""" + "".join(
    f'[[latency]]\nvenue = "{venue}"\nsite = "{site}"\np50_ms = {p50}\nlow_ms = {p50 - 0.5}\nhigh_ms = {p50 + 0.5}\n'
    for venue, site, p50 in (("near", "east", 2), ("near", "west", 60), ("<b>far</b>", "east", 30), ("<b>far</b>", "west", 1))
)  # fmt: skip


async def sent(pages: Pages, **fields: str) -> httpx2.Response:
    token = re.search(r'name="token" value="([0-9a-f]+)"', await pages.page("/plan"))
    assert token is not None
    return await pages.client.post("/plan", data={"token": token[1], "request": REQUEST, **fields})


async def test_a_form_becomes_an_address_and_the_address_a_plan(pages: Pages) -> None:
    answer = await sent(pages)
    assert answer.status_code == 303
    address = answer.headers["location"].partition("#")[0]
    assert address == Asked(text=REQUEST).address()
    page = await pages.page(address)
    assert "Proven: no choice of sites costs less." in page
    assert "$96" in page  # 60 and 3 * 2 + 30
    assert "&lt;b&gt;far&lt;/b&gt;" in page
    assert "<b>far" not in page
    assert page.count("<script") == 1
    assert unescape(page).count(f">{REQUEST}</textarea>") == 1
    for kind in ("venue", "chosen site"):
        assert f": {kind}</title>" in page
    assert page.count('class="trade ') == 3
    assert 'class="trade beyond"' in page  # east and west: dearer than the budget


async def test_fields_beside_the_request_are_written_into_it(pages: Pages) -> None:
    both = await sent(pages, budget="100", max_sites="2")
    address = both.headers["location"].partition("#")[0]
    page = await pages.page(address)
    assert "east, west" in page
    text = unpacked(re.search(r"q=([\w-]+)", address)[1])  # type: ignore[index]
    assert text.startswith("[limits]\nbudget_usd_month = 100\nmax_sites = 2\n[[venue]]")
    trade = await sent(pages, trade="40.0")
    assert "budget_usd_month = 40" in unpacked(re.search(r"q=([\w-]+)", trade.headers["location"])[1])  # type: ignore[index]
    refused = await sent(pages, budget="much")
    assert refused.status_code == 400
    assert "&#39;much&#39; is no number" in refused.text


async def test_what_cannot_be_is_told_above_the_form_which_keeps_what_was_typed(pages: Pages) -> None:
    for text, status, words in (
        (REQUEST.replace("= 70", "= 10"), 422, "budget_usd_month = 10"),
        ("[[venue]", 400, "no TOML"),
        (REQUEST.replace('"near"\nusd_per_ms_month', '"near"\nusd_per_ms'), 400, "did you mean"),
    ):
        address = Asked(text=text).address() or ""
        answer = await pages.client.get(address)
        assert answer.status_code == status
        assert 'role="alert"' in answer.text
        assert words in unescape(answer.text)
        assert text in unescape(answer.text)
    cut = await pages.client.get("/plan?q=" + (packed(REQUEST) or "")[:60])
    assert cut.status_code == 400
    assert "cut off" in cut.text


async def test_everything_can_be_taken_away(pages: Pages) -> None:
    got = {
        form: await sent(pages, **{"as": form}) for form in ("md", "html", "json", "deploy", "toml", "ask")
    }
    for form, answer in got.items():
        assert answer.status_code == 200, form
        assert answer.headers["content-disposition"].startswith('attachment; filename="')
    assert got["md"].text.startswith("# ")
    assert got["html"].text.startswith("<!doctype html>")
    api = await pages.client.post("/api/v1/placements", content=got["ask"].content)
    assert api.json() == got["json"].json()
    assert got["toml"].text == REQUEST
    names = zipfile.ZipFile(io.BytesIO(got["deploy"].content)).namelist()
    assert {"INSTALL.md", "east/nettrace-node.service", "east/probe.sh", "hub/targets.toml"} <= set(names)
    none = await sent(pages, **{"as": "deploy", "budget": "1"})
    assert none.status_code == 422


async def test_charts_have_table_csv_permalink_and_embed(pages: Pages) -> None:
    page = await pages.page(Asked(text=REQUEST).address() or "")
    for part in ("", "&part=pareto"):
        answer = await pages.client.get((Asked(text=REQUEST).address() or "") + "&format=csv" + part)
        assert answer.headers["content-type"].startswith("text/csv")
        rows = list(csv.DictReader(io.StringIO(answer.text)))
        assert rows[0]["sites" if part else "site"] in {"east", "west"}
    frames = [
        unescape(unescape(each))
        for each in re.findall(r'src="http://localhost(/plan[^ ]*)" title', unescape(page))
    ]
    assert len(frames) == 2
    for frame in frames:
        answer = await pages.client.get(frame)
        assert "frame-ancestors *" in answer.headers["content-security-policy"]
        assert "<script" not in answer.text
        assert "<form" not in answer.text
        assert answer.text.count("<svg class=") + answer.text.count('class="pareto"') > 0


async def test_a_form_of_another_site_or_without_a_token_is_refused(pages: Pages) -> None:
    assert (await pages.client.post("/plan", data={"request": REQUEST})).status_code == 403
    foreign = await pages.client.post(
        "/plan", data={"request": REQUEST}, headers={"sec-fetch-site": "cross-site"}
    )
    assert foreign.status_code == 403


async def test_a_plan_costs_a_session_what_it_costs_a_key(pages: Pages) -> None:
    give_key(pages.hub.store, "free")
    access, now = pages.hub.service.access, pages.hub.clock
    with pages.hub.reading() as reader:
        (key,) = reader.keys()
    pages.client.cookies.update({COOKIE: sealed(key.id, pages.hub.service.secret, now, "one")})
    assert (await pages.client.get(Asked(text=REQUEST).address() or "")).status_code == 200
    assert [policy.used for policy in access.usage(access.holder(key.id, now), now).policies] == [5, 5]


def test_the_example_is_a_request_that_fits_an_address() -> None:
    assert unpacked(packed(example()) or "") == example()
    assert len(packed(example()) or "") < LONGEST / 4
    assert packed("".join(chr(0x4E00 + at % 20_000) for at in range(0, 200_000, 7))) is None


def test_limits_are_taken_away_and_the_rest_stays() -> None:
    text = with_limits(REQUEST, {"budget_usd_month": None, "redundancy": 1.0})
    assert text.startswith("[limits]\nredundancy = 1\n[[venue]]")
    assert text.partition("[[venue]]")[2] == REQUEST.partition("[[venue]]")[2]


async def test_claims_are_sorted_and_chosen_and_the_api_has_the_same(pages: Pages) -> None:
    rows = (await pages.client.get("/api/v1/claims")).json()["data"]
    page = await pages.page("/claims?sort=-claimed")
    assert set(re.findall(r'<tr id="([^"]+)"', page)) == {row["id"] for row in rows}
    assert 'aria-sort="descending"' in page
    for finding in FINDINGS:
        shown = re.findall(r'<tr id="([^"]+)"', await pages.page(f"/claims?finding={finding}"))
        assert set(shown) == {row["id"] for row in rows if row["finding"] == finding}
    floors = [
        float(each)
        for each in re.findall(
            r'</td>\n<td class="num">([\d.]+)', await pages.page("/claims?sort=floor&finding=impossible")
        )
    ]
    assert floors == sorted(floors)
    assert floors
    tools = unescape(page)
    for href in re.findall(
        r'<div class="chart-tools">.*?<a href="([^"]+)">CSV</a>\s*<a href="([^"]+)">API call',
        tools,
        re.DOTALL,
    )[0]:
        assert (await pages.client.get(href)).status_code == 200


async def test_rows_of_the_form_change_the_request_and_leave_the_rest_of_its_text_alone(pages: Pages) -> None:
    rows = rows_of(REQUEST)
    assert [row.name for row in rows["venue"]] == ["near", "<b>far</b>", "", ""]
    fields = {
        f"{table}-{at}-{key}": value
        for table, each in rows.items()
        for at, row in enumerate(each)
        for key, value in {"name": row.name, "was": row.was, **row.values}.items()
        if value or key == "name"
    }
    untouched = await sent(pages, **fields)
    assert untouched.headers["location"].partition("#")[0] == Asked(text=REQUEST).address()
    changed = await sent(pages, **fields | {"venue-0-usd_per_ms_month": "7.5", "site-0-pinned": "on", "site-1-name": "", "site-2-name": "vultr:nrt"})  # fmt: skip
    assert changed.status_code == 303, changed.text
    text = unpacked(re.search(r"q=([\w-]+)", changed.headers["location"])[1])  # type: ignore[index]
    made = tomllib.loads(text)
    assert [site["name"] for site in made["site"]] == ["east", "vultr:nrt"]
    assert made["site"][0]["pinned"] is True
    assert made["site"][1]["usd_month"] == 5, "the cheapest the registry knows there"
    assert made["venue"][0]["usd_per_ms_month"] == 7.5
    assert {row["site"] for row in made["latency"]} == {"east"}
    assert text.startswith(REQUEST[: REQUEST.index("usd_per_ms_month = 3")])


async def test_a_row_that_cannot_be_is_told_and_the_page_keeps_the_request(pages: Pages) -> None:
    for fields, words in (
        ({"venue-0-name": "kraken-spot"}, "what is a millisecond to it worth a month?"),
        ({"site-0-name": "nowhere"}, "the registry knows no price of a machine there"),
        ({"site-0-name": "nowhere", "site-0-usd_month": "much"}, "is no number"),
        ({"site-0-name": "other", "site-0-was": '["east", "60", ""]'}, "cannot become"),
    ):
        answer = await sent(pages, **fields)
        assert answer.status_code == 400
        assert words in unescape(answer.text)
        assert f">{REQUEST}</textarea>" in unescape(answer.text)


async def test_every_field_of_a_row_has_a_name_and_the_registry_is_searched(pages: Pages) -> None:
    page = await pages.page("/plan")
    assert '<option value="kraken-spot">' in page
    assert '<option value="vultr:nrt">' in page
    inputs = re.findall(r"<input [^>]*name=\"(?:venue|site)-[^>]*>", page)
    assert len(inputs) > 20
    assert all("aria-label=" in each or 'type="hidden"' in each for each in inputs)
