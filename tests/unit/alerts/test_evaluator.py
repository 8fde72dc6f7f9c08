"""One incident for one cause, one page for one incident, and nothing from our own faults."""

from dataclasses import replace
from typing import Any

import pytest
from tests.unit.alerts.world import (
    HOUR,
    MINUTE,
    START,
    Happening,
    World,
    answered,
    failed,
    not_measured,
    run,
    slower,
)

from nettrace.analysis.alerts.evaluator import Evaluator, Turn
from nettrace.analysis.alerts.fact import EventSeen, Heard, Known, Ordered, RoundSeen
from nettrace.analysis.alerts.rule import RuleBook, read_book
from nettrace.model.alert import IncidentState, Notice, NoticeKind
from nettrace.model.measurement import Outcome
from nettrace.model.signal import Severity
from nettrace.model.target import RoundMethod, Series

CHANNEL = {"desk": {"kind": "webhook", "url": "https://desk.example/hook"}}
PRESETS = ["down", "derived", "errors-critical", "errors-warning", "latency-critical", "silent-node", "blind-node",
           "route-change", "shift", "degraded-leg", "loss", "shared-route-change", "rank"]  # fmt: skip


def book(*rules: dict[str, Any], **more: Any) -> RuleBook:
    return read_book({"rule": list(rules), "channel": CHANNEL, **more})


def preset(name: str, **fields: Any) -> dict[str, Any]:
    return {"name": name, "preset": name, **fields}


def notices(turns: list[Turn], kind: NoticeKind | None = None) -> list[Notice]:
    return [each for turn in turns for each in turn.notices if kind is None or each.kind is kind]


def small(**said: Any) -> World:
    return World(vantages=("nyc",), targets=("api1.example",), **said)


def on(target: str, *vantages: str) -> Any:
    return lambda series: series.target == target and (not vantages or series.vantage in vantages)


def everything(_: Series) -> bool:
    return True


def test_48_hours_with_six_incidents_are_six_pages_with_stated_delays() -> None:
    down, moved, uplink, silent, leg, rerouted = (START + hours * HOUR for hours in (6, 14, 20, 26, 32, 40))
    pairs = tuple((v, f"api{n}.example") for v in ("nyc", "lon") for n in (4, 5))
    world = World(
        script=[
            Happening(down, down + 40 * MINUTE, failed, on("api1.example")),
            Happening(moved, moved + 2 * HOUR, slower(35), on("api2.example", "nyc")),
            Happening(uplink, uplink + HOUR, failed, lambda series: series.vantage == "tok"),
            Happening(silent, silent + HOUR, failed, lambda _: False, silent=("fra",)),
            Happening(leg, leg + HOUR, slower(60), lambda series: (series.vantage, series.target) in pairs),
            # Our own faults and the world's ordinary noise, which are nothing to tell anybody:
            Happening(START + 9 * HOUR, START + 10 * HOUR, not_measured, lambda series: series.target < "api5"),
            Happening(START + 36 * HOUR, START + 37 * HOUR, lambda _: None, everything),
            Happening(START + 44 * HOUR, START + 44 * HOUR + MINUTE, failed, on("api3.example")),
        ],
        events=[
            (leg + 2 * MINUTE, EventSeen(
                id="sig_leg", kind="degraded_leg", target=None, vantage=None, severity=Severity.CRITICAL, confidence=0.95,
                legs=(("192.0.2.1", "192.0.2.9"),), pairs=pairs)),
            (leg + HOUR, EventSeen(
                id="sig_leg_end", kind="degraded_leg", target=None, vantage=None, confidence=0.95, tier="ended", over=True,
                legs=(("192.0.2.1", "192.0.2.9"),), pairs=pairs)),
            (rerouted, EventSeen(
                id="rc_1", kind="route_change", target="api6.example", vantage="lon", confidence=0.9, klass="as_path")),
            (rerouted, EventSeen(
                id="rc_2", kind="route_change", target="api7.example", vantage="lon", confidence=0.9, klass="load_balancing")),
        ],
    )  # fmt: skip
    evaluator = Evaluator(book(*(preset(name) for name in PRESETS)))

    turns = run(evaluator, world, START, START + 48 * HOUR)

    pages = notices(turns, NoticeKind.OPENED)
    said = [(each.incident.cause, each.at) for each in pages]
    assert [cause for cause, _ in said] == [
        "target:api1.example", "target:api2.example", "vantage:tok", "vantage:fra", "leg:192.0.2.1>192.0.2.9",
        "target:api6.example",
    ]  # fmt: skip
    delays_min = [
        (at - began) / MINUTE
        for (_, at), began in zip(said, (down, moved, uplink, silent, leg, rerouted), strict=True)
    ]
    assert [round(delay) for delay in delays_min] == [2, 4, 2, 3, 2, 5]
    assert {each.kind for each in notices(turns)} <= {NoticeKind.OPENED, NoticeKind.RAISED, NoticeKind.CLOSED}
    assert len(notices(turns, NoticeKind.CLOSED)) == 6
    assert evaluator.open == []
    assert pages[0].incident.vantages == ("fra", "lon", "nyc", "tok")
    assert pages[1].incident.why[0].metric == "p50"


def test_k_of_n_vantages_must_agree() -> None:
    world = World(script=[Happening(START + HOUR, START + 2 * HOUR, failed, on("api1.example", "nyc"))])
    alone = run(Evaluator(book(preset("down", k=2))), world, START, START + 3 * HOUR)
    world.script.append(replace(world.script[0], touches=on("api1.example", "lon")))
    two = run(Evaluator(book(preset("down", k=2))), world, START, START + 3 * HOUR)

    assert notices(alone) == []
    assert [each.incident.vantages for each in notices(two, NoticeKind.OPENED)] == [("lon", "nyc")]


def test_between_threshold_and_recovery_nothing_flaps() -> None:
    rule = {"name": "slow", "metric": "p50", "above": 60, "recover": 40, "window": "1m", "for": "0s", "targets": ["api0.example"],
            "vantages": ["nyc"]}  # fmt: skip
    steps = [Happening(START + (60 + 10 * n) * MINUTE, START + (70 + 10 * n) * MINUTE, slower(45 if n % 2 == 0 else 30),
                       everything) for n in range(6)]  # fmt: skip
    turns = run(Evaluator(book(rule)), World(script=steps), START, START + 4 * HOUR)

    assert [each.kind for each in notices(turns)] == [NoticeKind.OPENED, NoticeKind.CLOSED]


def test_staleness_scales_with_the_schedule() -> None:
    rule = {"name": "late", "metric": "age", "above": 3, "for": "0s", "targets": ["api0.example"]}
    stops = [Happening(START + 6 * HOUR, START + 30 * HOUR, lambda _: None, on("api0.example"))]
    often = run(Evaluator(book(rule)), World(script=stops), START, START + 12 * HOUR)
    seldom = run(Evaluator(book(rule)), World(script=stops, interval_ns=HOUR), START, START + 12 * HOUR)

    assert [round((each.at - stops[0].start) / MINUTE) for each in notices(often)] == [2]
    assert [round((each.at - stops[0].start) / HOUR) for each in notices(seldom)] == [2]


def test_a_target_that_never_answered_is_not_down() -> None:
    world = World(script=[Happening(START, START + HOUR, failed, everything)])
    assert notices(run(Evaluator(book(preset("down"))), world, START, START + HOUR)) == []


def test_nothing_fires_after_a_pause_of_our_own() -> None:
    evaluator = Evaluator(
        book(*(preset(name) for name in PRESETS), {"name": "late", "metric": "age", "above": 3})
    )
    world = World()
    run(evaluator, world, START, START + 3 * HOUR)
    woken = Evaluator.restore(evaluator._book, evaluator.snapshot())

    assert notices(run(woken, world, START + 9 * HOUR, START + 12 * HOUR)) == []


def test_trading_hours_maintenance_and_quiet_hours() -> None:
    nyse = {"nyse": {"zone": "America/New_York", "open": "09:30:00", "close": "16:00:00"},
            "night": {"zone": "UTC", "open": "22:00:00", "close": "06:00:00", "days": ["mon", "tue"]}}  # fmt: skip
    world = small(script=[Happening(START + 2 * HOUR, START + 20 * HOUR, failed, on("api1.example"))])

    trading = run(
        Evaluator(book(preset("down", session="nyse"), session=nyse)), world, START, START + 24 * HOUR
    )
    assert [(each.at - START) // MINUTE for each in notices(trading, NoticeKind.OPENED)] == [13 * 60 + 31]

    window = [{"start": "2026-06-22T00:00:00Z", "end": "2026-06-22T21:00:00Z", "targets": ["api1.*"]}]
    kept = run(Evaluator(book(preset("down"), maintenance=window)), world, START, START + 24 * HOUR)
    assert notices(kept) == []

    late = small(script=[Happening(START + 23 * HOUR, START + 32 * HOUR, failed, on("api1.example"))])
    rule = preset("down", quiet="night", severity="warning")
    asleep = run(Evaluator(book(rule, session=nyse)), late, START, START + 40 * HOUR)
    assert [(each.kind, (each.at - START) // HOUR) for each in notices(asleep)] == [
        (NoticeKind.OPENED, 30), (NoticeKind.CLOSED, 32)]  # fmt: skip
    gone = small(script=[Happening(START + 23 * HOUR, START + 25 * HOUR, failed, on("api1.example"))])
    assert notices(run(Evaluator(book(rule, session=nyse)), gone, START, START + 40 * HOUR)) == []


def test_an_acknowledged_incident_is_neither_repeated_nor_escalated() -> None:
    rule = preset("down", repeat="30m", escalate=[{"after": "1h", "channels": ["boss"]}], channels=["desk"])
    made = read_book({"rule": [rule], "channel": {**CHANNEL, "boss": CHANNEL["desk"]}})
    world = World(script=[Happening(START + HOUR, START + 4 * HOUR, failed, on("api1.example"))])

    ignored = notices(run(Evaluator(made), world, START, START + 3 * HOUR))
    assert [each.kind for each in ignored] == ["opened", "repeated", "escalated", "repeated", "repeated"]
    assert ignored[2].channels == ("boss",)

    taken = Evaluator(made)
    seen: list[Turn] = []
    for now, facts in world.minutes(START, START + 5 * HOUR):
        orders = [
            Ordered(action="ack", incident=one.id, actor="ann")
            for one in taken.open
            if one.acknowledged_at is None
        ]
        seen.append(taken.feed(now, [*facts, *orders]))
    assert [each.kind for each in notices(seen)] == [NoticeKind.OPENED, NoticeKind.CLOSED]
    assert notices(seen)[-1].incident.acknowledged_by == "ann"


def test_what_a_person_closed_opens_again_only_after_it_was_over() -> None:
    spans = [
        Happening(START + hours * HOUR, START + (hours + 1) * HOUR, failed, on("api1.example"))
        for hours in (1, 3)
    ]
    evaluator, closed = Evaluator(book(preset("down"))), 0
    turns: list[Turn] = []
    for now, facts in World(script=spans).minutes(START, START + 5 * HOUR):
        orders = [Ordered(action="close", incident=one.id, actor="ann") for one in evaluator.open]
        closed += len(orders)
        turns.append(evaluator.feed(now, [*facts, *orders]))
    assert closed == 2
    assert len(notices(turns, NoticeKind.OPENED)) == 2


def test_many_targets_of_one_network_are_one_incident_where_the_rule_says_so() -> None:
    world = World(
        script=[
            Happening(
                START + HOUR, START + 2 * HOUR, failed, lambda s: s.target < "api3" and s.vantage != "x"
            )
        ]
    )
    turns = run(Evaluator(book(preset("down", group="as", k=3))), world, START, START + 3 * HOUR)

    assert [each.incident.cause for each in notices(turns, NoticeKind.OPENED)] == ["as:64500"]
    assert notices(turns, NoticeKind.CLOSED)[0].incident.targets == (
        "api0.example",
        "api1.example",
        "api2.example",
    )


def test_two_rules_for_one_fault_are_one_incident_that_grows() -> None:
    rules = [
        {"name": "warn", "metric": "errors", "above": 5, "severity": "warning", "for": "0s"},
        preset("down", **{"for": "5m"}),
    ]
    world = World(script=[Happening(START + HOUR, START + 2 * HOUR, failed, on("api1.example"))])
    said = notices(run(Evaluator(book(*rules)), world, START, START + 3 * HOUR))

    assert [each.kind for each in said] == ["opened", "raised", "closed"]
    assert said[1].incident.rules == ("warn", "down")
    assert said[1].incident.severity is Severity.CRITICAL
    assert said[-1].incident.state is IncidentState.CLOSED


def lossy(target: str, vantage: str, **more: Any) -> EventSeen:
    return EventSeen(id=f"sig_{vantage}_{target}", kind="loss", target=target, vantage=vantage, severity=Severity.WARNING, **more)  # fmt: skip


def leg(**more: Any) -> EventSeen:
    fields: dict[str, Any] = {
        "id": "leg_1",
        "subject": "leg:leg_1",
        "severity": Severity.WARNING,
        "confidence": 0.95,
    } | more
    return EventSeen(kind="degraded_leg", target=None, vantage=None, **fields)  # fmt: skip


def test_a_target_that_loses_probes_is_told_once_for_as_long_as_it_does() -> None:
    events = [
        (START + HOUR + n * MINUTE, lossy("api1.example", v)) for n, v in enumerate(("nyc", "lon", "tok"))
    ]
    over = [
        (START + 5 * HOUR, lossy("api1.example", v, over=True, tier="ended")) for v in ("nyc", "lon", "tok")
    ]
    turns = run(Evaluator(book(preset("loss"))), World(events=[*events, *over]), START, START + 6 * HOUR)

    (page,), (end,) = notices(turns, NoticeKind.OPENED), notices(turns, NoticeKind.CLOSED)
    assert page.incident.cause == "target:api1.example" and (page.at - START - HOUR) // MINUTE == 10
    assert page.incident.vantages == ("lon", "nyc", "tok")
    assert (end.at - START) // MINUTE == 5 * 60 + 10


def test_loss_at_several_targets_waits_for_the_leg_that_explains_it() -> None:
    pairs = (("nyc", "api1.example"), ("lon", "api2.example"))
    began = [(START + HOUR, lossy(target, vantage)) for vantage, target in pairs]
    named = [(START + HOUR + 25 * MINUTE, leg(pairs=pairs)), (START + 9 * HOUR, leg(pairs=pairs, over=True))]
    over = [(START + 9 * HOUR, lossy(target, vantage, over=True)) for vantage, target in pairs]
    world = World(events=[*began, *named, *over])
    turns = run(Evaluator(book(preset("loss"), preset("degraded-leg"))), world, START, START + 10 * HOUR)

    (page,), (end,) = notices(turns, NoticeKind.OPENED), notices(turns, NoticeKind.CLOSED)
    assert page.incident.cause == "leg:leg_1" and (page.at - START - HOUR) // MINUTE == 25
    assert end.at >= START + 9 * HOUR, "a leg is degraded until it is said that it is not"

    unexplained = run(Evaluator(book(preset("loss"))), World(events=began), START, START + 3 * HOUR)
    pages = notices(unexplained, NoticeKind.OPENED)
    assert [(each.at - START - HOUR) // MINUTE for each in pages] == [30, 30]


def test_a_shared_route_change_and_a_fallen_rank_are_told_once_and_not_by_vantage() -> None:
    at, vantages = START + HOUR, ("fra", "lon", "nyc", "tok")
    changes = [
        EventSeen(
            id=f"rc_{v}",
            kind="route_change",
            target="api1.example",
            vantage=v,
            confidence=0.9,
            klass="as_path",
        )
        for v in vantages
    ]
    shared = EventSeen(
        id="rs_1", kind="route_change_shared", target="api1.example", vantage=None, subject="route:rs_1", confidence=0.99,
        severity=Severity.NOTICE, klass="as_path", pairs=tuple((v, "api1.example") for v in vantages),
    )  # fmt: skip
    ranks = [
        EventSeen(
            id=f"rk_{v}",
            kind="rank",
            target="api2.example",
            vantage=v,
            confidence=0.99,
            severity=Severity.NOTICE,
        )
        for v in vantages
    ]
    events = [*((at + n * MINUTE, each) for n, each in enumerate([*changes, shared])),
              *((at + 15 * n * MINUTE, each) for n, each in enumerate(ranks))]  # fmt: skip
    rules = book(preset("route-change"), preset("shared-route-change"), preset("rank"))
    turns = run(Evaluator(rules), World(events=events), START, START + 5 * HOUR)

    assert len(notices(turns, NoticeKind.OPENED)) == 2
    told = {each.cause: each for turn in turns for each in turn.incidents if each.closed_at is None}
    assert told["route:rs_1"].rules == ("route-change", "shared-route-change")
    assert told["route:rs_1"].vantages == vantages
    assert told["target:api2.example"].rules == ("rank",)
    alone = run(Evaluator(book(preset("shared-route-change"))), World(events=events), START, START + 5 * HOUR)
    assert [each.incident.cause for each in notices(alone, NoticeKind.OPENED)] == ["route:rs_1"]


def test_a_rule_that_is_taken_away_lets_go_of_its_incident() -> None:
    evaluator = Evaluator(book(preset("down")))
    world = World(script=[Happening(START + HOUR, START + 9 * HOUR, failed, on("api1.example"))])
    run(evaluator, world, START, START + 2 * HOUR)
    assert len(evaluator.open) == 1
    turn = Evaluator.restore(book(), evaluator.snapshot()).feed(START + 2 * HOUR)
    assert [each.closed_by for each in turn.incidents] == ["its rule was taken away"]


def test_a_drained_vantage_and_a_retired_target_are_not_missed() -> None:
    evaluator = Evaluator(book(preset("silent-node"), preset("down")))
    world = World(script=[Happening(START + HOUR, START + 9 * HOUR, failed, on("api1.example"))])
    run(evaluator, world, START, START + 2 * HOUR)
    gone = [
        Heard(vantage="fra", at=START, serving=False),
        Known(target="api1.example", category="x", watched=False),
    ]
    evaluator.feed(START + 2 * HOUR, gone)
    world = World(vantages=("nyc", "lon", "tok"), targets=world.targets[2:])
    assert notices(run(evaluator, world, START + 2 * HOUR, START + 3 * HOUR), NoticeKind.OPENED) == []
    assert evaluator.open == []


def test_late_rounds_prove_nothing_about_the_present() -> None:
    evaluator = Evaluator(book(preset("down", **{"for": "0s"})))
    series = Series("nyc", "api1.example", "rest", RoundMethod.TCP)
    evaluator.feed(START, [answered(series, START, 10**7)])
    old = [failed(answered(series, START + n * MINUTE, 10**7)) for n in range(1, 20)]
    assert notices([evaluator.feed(START + 6 * HOUR, old)]) == []


@pytest.mark.parametrize("outcome", [Outcome.NOT_MEASURED])
def test_not_measured_is_never_counted_as_failed(outcome: Outcome) -> None:
    evaluator = Evaluator(book(preset("down"), preset("errors-warning")))
    series = Series("nyc", "api1.example", "rest", RoundMethod.TCP)
    turns = [evaluator.feed(START, [answered(series, START, 10**7)])]
    for n in range(1, 60):
        at = START + n * MINUTE
        turns.append(
            evaluator.feed(at, [RoundSeen(series=series, due=at, interval_ns=MINUTE, outcome=outcome)])
        )
    assert notices(turns) == []
