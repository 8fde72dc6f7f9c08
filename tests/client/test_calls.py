"""Both clients know every call of the API by the same names, and give its answers with types."""

import asyncio
import inspect
from datetime import UTC, datetime, timedelta
from typing import Any, get_args, get_origin

import msgspec
import pytest
from tests.api.conftest import NOW, Hub, ping
from tests.client.conftest import asked

from nettrace.api.table import OPERATIONS
from nettrace.client import AsyncClient, Client, alerts, calls, fleet, forecast, placement
from nettrace.client.answers import Answer
from nettrace.client.call import Call, Rows
from nettrace.client.judgements import Export, Key, Measurement
from nettrace.errors import Conflict, Invalid, NotFound
from nettrace.model.instant import NS_PER_S

HOST = "api.example.com"
BEGIN = datetime(2026, 11, 20, 10, tzinfo=UTC)
EVERY = [
    calls.targets(), calls.target(HOST), calls.custom_targets(), calls.add_custom_target("a.example"), calls.remove_custom_target("id"), calls.vantages(), calls.vantage("nyc"), calls.latency(HOST),
    calls.history(HOST), calls.rounds(), calls.round("ms_1"), calls.raw(HOST), calls.routes(HOST),
    calls.route_changes(HOST), calls.rankings(), calls.compare([HOST, "b.example.com"]), calls.signals(),
    calls.signal_summary(), calls.signal_record(), calls.events(), calls.event("id"), calls.measurements(), calls.measurement("id"),
    calls.create_measurement(HOST), calls.exports(), calls.export_state("id"),
    calls.create_export(BEGIN, BEGIN + timedelta(hours=1)), calls.limits(), calls.usage(), calls.keys(),
    calls.create_key(), calls.revoke_key("id"), alerts.alert_rules(), alerts.alert_rule("n"), alerts.put_alert_rule("n"),
    alerts.drop_alert_rule("n"), alerts.channels(), alerts.put_channel("n", "slack", "https://h.example"),
    alerts.drop_channel("n"), alerts.test_channel("n"), alerts.silences(), alerts.add_silence(BEGIN, BEGIN),
    alerts.drop_silence("n"), alerts.incidents(), alerts.incident("n"), alerts.acknowledge("n"), alerts.close_incident("n"),
    forecast.forecast(HOST), fleet.mesh(), fleet.mesh_pair("nyc", "sin"), fleet.fleet(), placement.place("x"), placement.claims(),
]  # fmt: skip


def operation_of(call: Call[Any] | Rows[Any]) -> Any:
    method = call.method if isinstance(call, Call) else "GET"
    for operation in sorted(OPERATIONS, key=lambda each: each.path.count("{")):
        parts, asked_parts = operation.path.split("/"), call.path.split("/")
        if operation.method != method or len(parts) != len(asked_parts):
            continue
        if all(a.startswith("{") or a == b for a, b in zip(parts, asked_parts, strict=True)):
            return operation
    raise AssertionError(f"the API has no {method} {call.path}")


def test_every_operation_about_data_can_be_called() -> None:
    left = {each.id for each in OPERATIONS} - {operation_of(call).id for call in EVERY}
    assert left == {
        "index", "listTiers", "livez", "readyz", "version", "metrics", "openapi", "docs", "llms", "problem",
        "downloadExportFile",
    }  # fmt: skip


def test_both_clients_have_the_same_methods_with_the_same_parameters() -> None:
    def methods(kind: type) -> dict[str, Any]:
        return {
            name: [
                (each.name, each.default)
                for each in inspect.signature(getattr(kind, name)).parameters.values()
            ]
            for name in dir(kind)
            if name[0] != "_"
        }

    one, other = methods(Client), methods(AsyncClient)
    one["aclose"] = one.pop("close")
    assert one == other
    assert [name for name, _ in one["measure"]][:3] == ["self", "host", "region"]
    assert inspect.getdoc(Client.latency) == "The newest round of every series of a target."


@pytest.mark.parametrize("call", EVERY, ids=lambda call: f"{getattr(call, 'method', 'GET')} {call.path}")
def test_no_field_is_expected_that_the_api_does_not_give(call: Any) -> None:
    answer = operation_of(call).answer
    if isinstance(call, Rows):
        _agree(call.row, _rows_of(answer), "")
    else:
        _agree(call.shape, answer, "")


def _rows_of(page: Any) -> Any:
    shape: Any = msgspec.inspect.type_info(page)
    return next(field.type for field in shape.fields if field.name == "data").item_type.cls


def _agree(ours: Any, theirs: Any, where: str) -> None:
    from nettrace.api import schema

    known = {field.encode_name: field for field in msgspec.structs.fields(get_origin(theirs) or theirs)}
    if theirs is schema.HistoryRow:
        known |= {field.encode_name: field for field in msgspec.structs.fields(schema.RawRow)}
    if theirs is schema.RawRow:
        known |= {field.encode_name: field for field in msgspec.structs.fields(schema.HistoryRow)}
    if theirs is schema.MeasurementRow:
        known |= {field.encode_name: field for field in msgspec.structs.fields(schema.MeasurementShape)}
    for field in msgspec.structs.fields(ours):
        assert field.encode_name in known, f"{where}{ours.__name__}.{field.encode_name}"
        mine, other = _struct(field.type), _struct(known[field.encode_name].type)
        if mine is not None and other is not None and not isinstance(other, type(None)):
            _agree(mine, other, f"{where}{ours.__name__}.")


def _struct(hint: Any) -> Any:
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return hint
    return next((found for part in get_args(hint) if (found := _struct(part)) is not None), None)


async def test_answers_have_types(client: AsyncClient) -> None:
    rows = [row async for row in client.targets()]
    assert len(rows) == 5
    latency = await client.latency(HOST, region=["nyc", "sin"])
    assert {row.region for row in latency} == {"nyc", "sin"}
    reading = latency.data[0]
    assert isinstance(reading.at, datetime)
    assert reading.at.utcoffset() == timedelta(0)
    assert isinstance(reading.rtt_ms, float)
    down = await client.latency("b.example.com", region="sin")
    assert [(row.outcome, row.rtt_ms) for row in down if row.method == "tcp"] == [("failed", None)]
    assert (await client.target(HOST)).endpoints[0].methods == ("tcp", "trace")
    assert {each.code async for each in client.vantages()} == {"fra", "nyc", "sin"}
    assert (await client.vantage("nyc")).code == "nyc"
    routes = await client.routes(HOST)
    assert routes.data[0].hops[0].address == "10.0.0.1"
    assert [change.class_ async for change in client.route_changes(HOST)] == ["as_path"]
    ranks = await client.rankings(category="crypto", region="nyc")
    assert ranks.data[0].rank == 1
    comparison = await client.compare([HOST, "b.example.com"], region="nyc")
    assert (len(comparison), comparison.differences[0].comparable) == (2, True)
    signals = [each async for each in client.signals(kind="shift", limit=7)]
    assert (len(signals), signals[0].document["from_ms"]) == (20, 9.0)
    assert (await client.signal_summary()).signals_in_window == 40
    assert len([each async for each in client.events()]) == 41
    assert (await client.event("sig_003")).kind == "anomaly"
    nodes = {node.region: node for node in await client.fleet()}
    assert not nodes["nyc"].flagged
    assert len(await client.mesh(region="nyc")) == 0  # no node of this hub reflects
    assert (await client.mesh_pair("sin", "nyc")).pair.there is None
    assert {claim.finding for claim in await client.claims(finding="impossible")} == {"impossible"}
    request = {
        "venue": [{"name": "a", "usd_per_ms_month": 4}],
        "site": [{"name": "east", "usd_month": 60}],
        "latency": [{"venue": "a", "site": "east", "p50_ms": 1.2}],
    }
    placed = await client.place(request)
    assert (placed.status, placed.sites, placed.assignments[0].evidence) == ("optimal", ("east",), "given")
    assert (await client.limits()).tier
    assert (await client.usage()).day == "2026-11-20"


async def test_alerts_are_made_and_looked_at(client: AsyncClient) -> None:
    made = await client.put_alert_rule("slow", preset="derived", k=2, **{"for": "5m"})
    assert (made.metric, made.hold, made.k) == ("p50", "5m", 2)
    assert [each.name for each in await client.alert_rules()] == ["slow"]
    desk = await client.put_channel("desk", "webhook", "https://h.example/hook")
    assert desk.secret is not None
    assert (await client.test_channel("desk")).delivered
    silence = await client.add_silence(BEGIN, BEGIN + timedelta(hours=1), host=HOST)
    assert (await client.drop_silence(silence.id)).targets == (HOST,)
    assert [each async for each in client.incidents(state="open")] == []
    own = await client.add_custom_target("mine.example.net", port=9880)
    assert [each.host for each in await client.custom_targets()] == [own.host]
    assert (await client.remove_custom_target("mine.example.net")).lifecycle == "retired"


async def test_histories_have_the_percentiles_that_were_asked_for(client: AsyncClient) -> None:
    rows = [
        row
        async for row in client.history(
            HOST, start=BEGIN, resolution="15m", region="nyc", percentiles=["50", "99.9"]
        )
    ]
    assert rows[0].at == BEGIN
    assert rows[0].p50_ms is not None
    assert rows[0].p99_9_ms >= rows[0].p50_ms  # type: ignore[attr-defined]
    pages = [
        page
        async for page in client.history(HOST, start=BEGIN, resolution="1m", region="nyc", limit=50).pages()
    ]
    assert [len(page.data) for page in pages] == [50, 50, 20]
    assert pages[0].window is not None
    assert (pages[0].window.start, pages[0].clamped, pages[0].resolution) == (BEGIN, False, "1m")
    raw = [row async for row in client.history(HOST, start=BEGIN, resolution="raw", region="nyc")]
    assert [row.round for row in raw] == [
        row.round async for row in client.raw(HOST, start=BEGIN, region="nyc", method="tcp", limit=33)
    ]


async def test_pages_follow_each_other_without_hole_or_repeat(client: AsyncClient) -> None:
    few = [row.id async for row in client.rounds(host=HOST, limit=17)]
    assert few == [row.id async for row in client.rounds(host=HOST)]
    assert len(few) == len(set(few)) > 170
    cursor = (await anext(client.rounds(host=HOST, limit=17).pages())).next_cursor
    assert [row.id async for row in client.rounds(host=HOST, limit=17, cursor=cursor)] == few[17:]


async def test_a_measurement_is_waited_for_and_partial_results_are_given(hub: Hub) -> None:
    waits: list[float] = []

    async def pause(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 2:
            with hub.reading() as reader:
                (request,) = reader.requests(account=None, limit=5)
            due = NOW - NS_PER_S
            hub.report("nyc", [(due, HOST, ping(HOST, 7.0, due))], request=request.id)

    async with asked(hub, pause=pause) as client:
        cost = await client.measure_cost(HOST, region=["nyc", "sin"], probes=3)
        assert (cost.calls, cost.probes) == (1, 6)
        assert [each async for each in client.measurements()] == []
        found = await client.measure(HOST, region=["nyc", "sin"], probes=3, wait_s=5)
        assert isinstance(found, Measurement)
        assert [(row.region, row.rtt_ms, row.host) for row in found.results] == [("nyc", 7.02, HOST)]
        assert (found.regions, sum(waits)) == (("nyc", "sin"), pytest.approx(5))
        asked_now = await client.create_measurement(HOST, region="nyc")
        assert (await client.measurement(asked_now.id)).id == asked_now.id


async def test_keys_are_made_once_and_never_printed(hub: Hub) -> None:
    async with asked(hub, hub.key()["Authorization"].removeprefix("Bearer ")) as client:
        made = await client.create_key(name="ci", scopes="read")
        assert isinstance(made, Key)
        assert made.key is not None
        assert made.key not in repr(made)
        assert made.key not in repr(client)
        assert [key.key for key in await client.keys()] == [None, None]
        assert (await client.revoke_key(made.id)).revoked_at is not None


async def test_the_blocking_client_says_the_same(blocking: Client) -> None:
    def ask() -> tuple[Any, ...]:
        with pytest.raises(NotFound) as missing:
            blocking.target("nowhere.example")
        assert missing.value.request_id
        return (
            list(blocking.targets()),
            blocking.latency(HOST).host,
            len(list(blocking.rounds(host=HOST, limit=20))),
        )

    targets, host, rounds = await asyncio.to_thread(ask)
    assert (len(targets), host) == (5, HOST)
    assert rounds > 170


async def test_what_cannot_be_asked_is_said_with_where_it_stands(client: AsyncClient) -> None:
    with pytest.raises(Invalid, match="#/query/start") as wrong:
        await client.rankings(start="yesterday")
    assert wrong.value.status == 400
    assert wrong.value.request_id
    with pytest.raises(Invalid, match="no time zone"):
        client.rounds(start=datetime(2026, 1, 1))  # noqa: DTZ001
    with pytest.raises(Invalid, match="address"):
        AsyncClient("hub.example")
    with pytest.raises(Conflict):
        for _ in range(4):
            assert isinstance(await client.create_export(BEGIN, BEGIN + timedelta(hours=1)), Export)


def test_answers_are_frozen_and_pass_over_new_fields() -> None:
    class Seen(Answer, frozen=True):
        one: int

    seen = msgspec.json.decode(b'{"one":1,"two":2}', type=Seen)
    with pytest.raises(AttributeError):
        seen.one = 2  # type: ignore[misc]
