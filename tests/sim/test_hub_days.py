"""The demo's internet in virtual time through the whole hub: each mishap is one event and one page, nothing else pages."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from nettrace.hub import belief_watch
from nettrace.hub.leg_watch import replayed
from nettrace.lab.world import Event as WorldEvent
from nettrace.model.alert import IncidentState
from nettrace.store.rows import Event, Window
from nettrace.testing.hub_days import BEGIN, MINUTE, Days, Mishap

TARGETS = ("engine.cme.lab", "engine.lse.lab", "engine.hkex.lab", "engine.jpx.lab", "www.deribit.com")
VANTAGES = ("ewr", "lhr", "sin", "bom", "ord")
RULES: dict[str, object] = {
    "rule": [
        {"name": "leg", "preset": "degraded-leg"},
        {"name": "slow", "preset": "derived", "for": "10m"},
        {"name": "down", "preset": "down", "k": 2, "for": "2m"},
        {"name": "silent", "preset": "silent-node"},
        {"name": "route", "preset": "route-change"},
        {"name": "loss", "preset": "loss"},
    ]
}


def mishap(minute: int, kind: str, subject: str, **more: Any) -> Mishap:
    return Mishap(minute=minute, event=WorldEvent(kind=kind, subject=subject, **more))  # type: ignore[arg-type]


def told(days: Days, kind: str) -> list[tuple[Event, dict[str, Any]]]:
    """Events of a kind, oldest first, with their documents."""
    found = days.reader.events(Window(BEGIN, days.now + MINUTE), kinds=(kind,), limit=1000)
    return [
        (each, msgspec.json.decode(each.body)) for each in sorted(found, key=lambda e: (e.detected_at, e.id))
    ]


def opened(days: Days, kind: str) -> list[dict[str, Any]]:
    return [body for _, body in told(days, kind) if not body["updates"]]


def test_a_congested_cable_is_one_event_that_is_opened_and_closed(tmp_path: Path) -> None:
    script = (mishap(120, "congest", "dxb-bom", delay_ms=15.0), mishap(170, "clear", "dxb-bom"))
    days = Days(tmp_path, TARGETS, RULES, script, vantages=VANTAGES)
    try:
        days.run(125)
        days.again()
        days.run(80)
        (leg,) = opened(days, "degraded_leg")
        assert leg["verdict"] == "leg" and leg["added_ms"] == pytest.approx(30.0, abs=1.0)
        assert leg["delay_s"] <= 10 * 60 and leg["confidence"] > 0.95
        assert {"bom", "sin"} & {vantage for vantage, _ in leg["affected"]} and len(leg["affected"]) >= 6
        end = told(days, "degraded_leg")[-1][1]
        assert (end["tier"], end["ended_because"], end["opened_by"]) == ("ended", "recovered", leg["id"])
        (incident,) = days.opened()
        assert incident.cause.startswith("leg:") and incident.state is IncidentState.CLOSED
        assert days.said == []

        live = [each for each, _ in told(days, "degraded_leg")]
        again = replayed(days.reader, Window(BEGIN, days.now + 1))
        assert sorted(again, key=lambda each: (each.detected_at, each.id)) == live

        shifts = told(days, "shift")
        believed = [each for each, body in shifts if "believed" in body]
        first = {body["of"]: body["believed"] for _, body in shifts if "believed" in body}
        moved = {each.id for each, body in shifts if not body["updates"] and body["delta_ms"] > 20}
        assert moved and moved <= first.keys() <= {each.id for each, body in shifts if not body["updates"]}
        assert all(each["q_value"] <= each["share"] and each["tested"] > 10_000 for each in first.values())
        again = belief_watch.replayed(days.reader, Window(BEGIN, days.now + 1))
        assert sorted(again, key=lambda each: (each.detected_at, each.id)) == believed
    finally:
        days.close()


def test_a_cable_that_is_cut_and_mended_is_one_incident_however_late_pairs_come_home(tmp_path: Path) -> None:
    script = (mishap(60, "cut", "sin-hkg"), mishap(180, "restore", "sin-hkg"))
    rules = {"rule": [*RULES["rule"], {"name": "shared", "preset": "shared-route-change"}]}  # type: ignore[misc]
    days = Days(tmp_path, TARGETS, rules, script, vantages=VANTAGES, seed=101)
    try:
        days.run(215)
        (incident,) = (each for each in days.opened() if each.cause.startswith("route:"))
        assert incident.state is IncidentState.CLOSED
        assert set(incident.rules) >= {"route", "shared"} and len(incident.vantages) > 1
        ends = [body for _, body in told(days, "route_change_shared") if body["tier"] == "ended"]
        assert len(ends) > 1 and {body["opened_by"] for body in ends} == {ends[0]["opened_by"]}
    finally:
        days.close()


def test_a_cable_that_loses_probes_before_one_target_is_told_once(tmp_path: Path) -> None:
    script = (mishap(60, "congest", "ord-aur", loss=0.13), mishap(120, "clear", "ord-aur"))
    days = Days(tmp_path, TARGETS, RULES, script, vantages=VANTAGES, seed=101)
    try:
        days.run(150)
        (incident,) = days.opened()
        assert incident.cause == "target:engine.cme.lab" and incident.rules == ("loss",)
        assert incident.opened_at - BEGIN <= 80 * MINUTE and incident.state is IncidentState.CLOSED
    finally:
        days.close()


def test_an_exchange_that_became_slow_from_everywhere_is_one_page_and_not_one_a_vantage(
    tmp_path: Path,
) -> None:
    script = (mishap(7 * 60, "congest", "ord-aur", delay_ms=150.0),)
    rules: dict[str, object] = {"rule": [{"name": "rank", "preset": "rank"}]}
    days = Days(tmp_path, TARGETS[:1] + TARGETS[2:4], rules, script, vantages=("ewr", "lhr"))
    try:
        days.run(10 * 60)
        fell = {(body["region"], body["target"]) for body in opened(days, "rank")}
        assert fell == {("ewr", "engine.cme.lab"), ("lhr", "engine.cme.lab")}
        (incident,) = days.opened()
        assert incident.cause == "target:engine.cme.lab" and incident.vantages == ("ewr", "lhr")
    finally:
        days.close()
