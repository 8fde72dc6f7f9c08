"""What the sections of a placement document say, in cases small enough to work out by hand."""

import re
from datetime import date
from typing import Any

from msgspec import structs
from tests.property.test_plan import request_of
from tests.unit.placement.test_plan import raw

from nettrace.placement.document.brief import Brief, Scenario, Service, SiteNote, VenueNote
from nettrace.placement.document.compose import composed
from nettrace.placement.document.deploy import deployment
from nettrace.placement.document.ground import Ground
from nettrace.placement.document.markdown import markdown
from nettrace.placement.document.page import page
from nettrace.placement.document.sections.choice import phases
from nettrace.placement.document.sections.free import options
from nettrace.placement.document.sections.map import topology
from nettrace.placement.document.sections.risk import losses
from nettrace.placement.document.sections.trial import threshold_ms
from nettrace.placement.document.sections.worth import saved_ms, scenario_row
from nettrace.placement.document.seen import Result, Sessions, gathered, with_measured
from nettrace.placement.document.shape import Drawing, Table
from nettrace.placement.plan import make_plan
from nettrace.placement.registry.load import built_in

BRIEF = Brief(
    title="Two venues",
    now="singapore",
    venue=(
        VenueNote(name="tse", host="tse.example", url="https://tse.example/", ws="wss://tse.example/ws", nearer=("near.example",)),
        VenueNote(name="cme", url="https://cme.example/x", by="request", today="kept-alive"),
    ),
    site=(SiteNote(name="singapore", vantage="sin"), SiteNote(name="tokyo", vantage="nrt")),
    service=(Service(name="trading <b>", venues=("tse",)),),
)  # fmt: skip


def ground_of(
    request: dict[str, Any], rows: tuple[tuple[str, dict[str, Any]], ...] = (), brief: Brief = BRIEF
) -> Ground:
    asked = request_of(request)
    measured = gathered([Result(vantage, row) for vantage, row in rows], asked, brief)
    solved = with_measured(asked, measured)
    return Ground(
        request=solved, asked=asked, aside=(), plan=make_plan(solved), brief=brief, measured=measured, registry=built_in(),
        today=date(2026, 11, 21),
    )  # fmt: skip


def ping(target: str, rtt_ms: list[float | None]) -> dict[str, Any]:
    return {
        "schema": "nettrace.ping/1",
        "target": target,
        "sent": len(rtt_ms),
        "rtt_ms": rtt_ms,
        "at": "2026-11-21T00:00:00Z",
    }


def asked(url: str, *, reused: bool, ttfb: float, shake: float = 0.0) -> dict[str, Any]:
    stages = {
        "dns_ms": None if reused else 1.0,
        "connect_ms": None if reused else shake,
        "tls_ms": None if reused else shake,
    }
    return {
        "schema": "nettrace.http/1",
        "url": url,
        "reused": reused,
        "ttfb_ms": ttfb,
        **stages,
        "at": "2026-11-21T00:00:01Z",
    }


def test_free_things_are_counted_from_measured_stages() -> None:
    rows = (
        ("sin", asked("https://tse.example/", reused=False, ttfb=71, shake=70)),
        ("sin", asked("https://tse.example/", reused=True, ttfb=72)),
        ("sin", {"schema": "nettrace.ws/1", "url": "wss://tse.example/ws", "rtt_ms": [69.5], "at": "2026-11-21T00:00:02Z"}),
        ("sin", ping("tse.example", [70.0] * 6)),
        ("sin", ping("near.example", [61.0] * 6)),
        ("nrt", ping("tse.example", [2.0] * 6)),
    )  # fmt: skip
    found = options(ground_of(raw(), rows))
    assert [(row["what"], row["before_ms"], row["after_ms"], row["usd_month"]) for row in found] == [
        ("use the WebSocket", 212.0, 69.5, 712.5),
        ("keep the connection open", 212.0, 72.0, 700.0),
        ("use near.example instead of tse.example", 70.0, 61.0, 45.0),
    ]
    assert options(ground_of(raw())) == []


def test_a_request_counts_where_an_edge_answers_the_ping() -> None:
    rows = [("sin", asked("https://cme.example/x", reused=True, ttfb=ms)) for ms in (200.0, 210.0, 220.0)]
    seen = ground_of(raw(), (*rows, ("sin", ping("cme.example", [1.0] * 9)))).seen("cme", "singapore")
    assert seen is not None
    assert (seen.by, seen.n, seen.p50_ms, seen.low_ms) == ("request", 3, 210.0, None)


def test_lost_probes_are_no_latency() -> None:
    seen = ground_of(raw(), (("nrt", ping("tse.example", [2.0, None, 2.2, 2.1, None, 2.0, 2.3, 2.2])),)).seen(
        "tse", "tokyo"
    )
    assert seen is not None
    assert (seen.n, seen.lost, seen.p50_ms, seen.low_ms, seen.high_ms) == (6, 2, 2.1, 2.0, 2.3)


def test_results_with_a_time_count_while_the_venue_is_open() -> None:
    def at_hour(hour: int, rtt_ms: float, probes: int) -> Result:
        return Result("nrt", {**ping("tse.example", [rtt_ms] * probes), "at": f"2026-11-20T{hour:02}:00:00Z"})

    def trades(venue: str) -> Sessions | None:
        return Sessions("XTKS", lambda at: at[11:13] < "06") if venue == "tse" else None

    whole = gathered([at_hour(1, 3.0, 6), at_hour(9, 2.0, 12)], request_of(raw()), BRIEF, trades)
    seen = whole.pairs["tse", "tokyo"]
    assert (seen.hours, seen.n, seen.p50_ms, seen.closed_p50_ms, whole.unsplit) == ("XTKS", 6, 3.0, 2.0, {})
    few = gathered([at_hour(1, 3.0, 5), at_hour(9, 2.0, 12)], request_of(raw()), BRIEF, trades)
    seen = few.pairs["tse", "tokyo"]
    assert (seen.hours, seen.n, seen.p50_ms, seen.closed_p50_ms) == (None, 17, 2.0, None)
    assert few.unsplit == {("tse", "tokyo"): "5 of 17 answers came while XTKS was open, 6 are needed"}
    ground = structs.replace(ground_of(raw(), (("nrt", ping("tse.example", [2.0] * 6)),)), measured=few)
    assert "all hours count, because 5 of 17 answers came while XTKS was open" in markdown(composed(ground))
    every = VenueNote(name="tse", host="tse.example", hours="all")
    said = gathered([at_hour(1, 3.0, 6)], request_of(raw()), Brief(venue=(every,), site=BRIEF.site), trades)
    assert (said.pairs["tse", "tokyo"].hours, said.unsplit) == (None, {})


def test_another_zone_that_costs_no_more_is_free_where_both_were_measured() -> None:
    request = raw()
    zone = {"name": "singapore-b", "provider": "b", "country": "SG", "usd_month": 40.0, "move_hours": 2}
    request["site"] = [*request["site"], zone]
    rows = (("sin", ping("tse.example", [70.0] * 6)), ("singapore-b", ping("tse.example", [69.5] * 6)))
    (found,) = options(ground_of(request, rows))
    assert (found["saves_ms"], found["usd_month"]) == (0.5, 2.5)
    assert found["what"].startswith(
        "rent at singapore-b instead of singapore (same provider, no dearer); moving takes 2 hours"
    )
    zone["usd_month"] = 41.0
    assert options(ground_of(request, rows)) == []


def test_before_and_after_says_what_moving_takes() -> None:
    request = raw()
    request["limits"] = {**request.get("limits", {}), "usd_per_hour": 50.0}
    for site in request["site"]:
        site |= {"move_hours": 4, "move_usd": 30.0, "in_use": site["name"] == "singapore"}
    ground = ground_of(request)
    section = next(each for each in composed(ground).sections if each.id == "before-after")
    shown = section.blocks[0]
    assert isinstance(shown, Table)
    moved = {move.site for move in ground.plan.moves if not move.gives_up}
    assert moved
    assert {(row["site"] in moved, row["move_hours"], row["move_usd"]) for row in shown.rows} <= {
        (True, 4, 230.0),
        (False, None, None),
    }
    total = len(ground.plan.moves)
    assert f"Moving: {4 * total} hours and ${230 * total} once" in markdown(composed(ground))


def test_a_phase_saves_what_latency_costs_less_with_it() -> None:
    steps = phases(ground_of(raw()))
    assert [(step["sites"], step["what"], step["usd_month"], step["saves_usd_month"]) for step in steps] == [
        ("tokyo", "rent", 60.0, 410.0),  # against singapore, which the plan gives up
        ("ashburn", "rent", 30.0, 130.0),
        ("singapore", "not now", 40.0, 0.0),
    ]


def test_the_return_counts_each_venue_by_its_weight() -> None:
    saved = saved_ms(ground_of(raw()))
    assert saved is not None
    assert round(saved[0], 6) == (5 * (70 - 2) + 1 * (220 - 20)) / 6
    assert saved[1] < saved[0] < saved[2]
    never = scenario_row(Scenario(name="x", orders_day=1, usd_per_ms_order=(0.0, 0.0)), 10.0, saved)
    assert (never["break_even"], never["verdict"]) == ([None, None], "does not pay")


def test_each_loss_says_what_comes_instead() -> None:
    found = {(row["lost"], row["title"]): row["then"] for row in losses(ground_of(raw()))}
    assert found == {("tokyo", "Tokyo Stock Exchange"): "cut off", ("ashburn", "cme"): "tokyo"}


def test_thresholds_follow_each_pair() -> None:
    rows = (("nrt", ping("tse.example", [2.0, 2.1, 2.0, 2.2, 2.0, 2.1, 2.6])),)
    ground = ground_of(raw(), rows)
    assert threshold_ms(ground, "tse", "tokyo") == round(2.6 + 8 * 0.1, 2)
    assert threshold_ms(ground, "cme", "ashburn") is None


def test_no_text_breaks_out_of_either_form() -> None:
    request = raw()
    request["site"][0]["name"] = '<script>"|x'
    for row in request["latency"]:
        row["site"] = '<script>"|x' if row["site"] == "tokyo" else row["site"]
    brief = Brief(title="<i>*a*|", service=BRIEF.service)
    document = composed(ground_of(request, brief=brief))
    text, html = markdown(document), page(document)
    assert "<script" not in html.partition("</head>")[2]
    assert "<b>" not in html
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert all(re.sub(r"\\\|", "", line).endswith("|") for line in table)
    assert text.startswith("# \\<i>\\*a\\*\\|")


def test_the_drawing_is_svg_and_mermaid_and_words() -> None:
    (drawing,) = [block for block in topology(ground_of(raw())).blocks if isinstance(block, Drawing)]
    assert drawing.told == "tokyo serves Tokyo Stock Exchange; ashburn serves cme"
    assert drawing.svg.count("<rect") == 2
    assert drawing.mermaid.startswith("graph TD\n")


def test_no_plan_has_a_document_that_explains_it() -> None:
    ground = ground_of(raw(redundancy=1, max_sites=1))
    text = markdown(composed(ground))
    assert "**There is no plan.**" in text
    assert "These cannot hold together: max\\_sites = 1; redundancy = 1." in text
    assert "Without max\\_sites: tokyo, singapore, ashburn, $130 a month." in text
    assert "Without redundancy: tokyo, $60 a month." in text


def test_what_stands_is_kept_and_not_rented_again() -> None:
    assert "**Rent tokyo, ashburn: 2 of 3 sites" in markdown(composed(ground_of(raw())))
    request = raw()
    request["site"][2]["in_use"] = True
    assert "**Keep ashburn and rent tokyo: 2 of 3 sites" in markdown(composed(ground_of(request)))


def test_every_chosen_site_gets_its_files() -> None:
    names = {file.name for file in deployment(ground_of(raw()), "https://hub.example")}
    assert names == {
        "hub/targets.toml", "hub/alerts.toml", "INSTALL.md", "tokyo/nettrace-node.service", "tokyo/probe.sh",
        "ashburn/nettrace-node.service", "ashburn/probe.sh",
    }  # fmt: skip
