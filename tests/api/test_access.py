"""Who may have what: every operation, every tier, every scope, and every kind of wrong key."""

import pytest
from tests.api.conftest import NOW, TIERS, Hub
from tests.api.test_examples import filled_in

from nettrace.api.operation import Operation
from nettrace.api.table import OPERATIONS
from nettrace.model.account import Scope

CLOSED = [operation for operation in OPERATIONS if not operation.open]
OPEN = [operation for operation in OPERATIONS if operation.open]


async def ask(hub: Hub, operation: Operation, path: str, headers: dict[str, str]) -> int:
    answer = await hub.client.request(operation.method, path, json=operation.example_body, headers=headers)
    if answer.status_code >= 400:
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["request_id"] == answer.headers["x-request-id"]
        assert answer.json()["status"] == answer.status_code
    return answer.status_code


@pytest.mark.parametrize("operation", CLOSED, ids=lambda operation: operation.id)
async def test_tiers_scopes_and_wrong_keys(hub: Hub, operation: Operation) -> None:
    owner = hub.key("enterprise_pro", "owner")
    path = await filled_in(hub, operation, owner)
    assert await ask(hub, operation, path, {}) == 401
    assert await ask(hub, operation, path, {"Authorization": "Bearer nt_live_" + "0" * 36}) == 401
    assert await ask(hub, operation, path, {"Authorization": "Basic abc"}) == 401
    assert await ask(hub, operation, path, hub.key("government", revoked_at=NOW - 1)) == 401
    assert await ask(hub, operation, path, hub.key("government", expires_at=NOW - 1)) == 401
    unknown = hub.key("government")["Authorization"].removeprefix("Bearer ")
    assert await ask(hub, operation, path, {"X-Api-Key": unknown[::-1]}) == 401
    for tier in TIERS:
        has = operation.feature is None or operation.feature in hub.service.tiers.named(tier).features
        if operation.method == "DELETE":
            path = await filled_in(hub, operation, owner)  # the one before is gone
        account = "owner" if has and "{" in operation.path else f"{tier}-other"
        status = await ask(hub, operation, path, hub.key(tier, account))
        assert (status < 400) if has else (status == 403), (tier, status)
    if operation.scope is not None:
        poor = hub.key("government", "owner", scopes=frozenset(Scope) - {operation.scope})
        assert await ask(hub, operation, path, poor) == 403
        alone = hub.key("government", "owner", scopes=frozenset({operation.scope, Scope.READ}))
        path = await filled_in(hub, operation, owner)
        hub.work_off()
        assert await ask(hub, operation, path, alone) < 400


@pytest.mark.parametrize(
    "operation",
    [each for each in CLOSED if each.path.count("{") and "{host}" not in each.path],
    ids=lambda each: each.id,
)
async def test_what_belongs_to_another_account_does_not_exist(hub: Hub, operation: Operation) -> None:
    path = await filled_in(hub, operation, hub.key("government", "owner"))
    stranger = await ask(hub, operation, path, hub.key("government", "stranger"))
    public = operation.id in {"getRound", "getVantage", "getEvent", "getMeshPair"}
    assert stranger == (200 if public else 404)


async def test_custom_targets_are_their_owners_only(hub: Hub) -> None:
    owner, stranger = hub.key("government", "acct-pro"), hub.key("government", "stranger")
    for path in ("/api/v1/latency/own.example.com", "/api/v1/targets/own.example.com"):
        assert (await hub.get(path, headers=owner)).status_code == 200
        assert (await hub.get(path, headers=stranger)).status_code == 404
    for headers, seen in ((owner, True), (stranger, False)):
        assert ("own.example.com" in (await hub.get("/api/v1/targets", headers=headers)).text) is seen
    assert "own.example.com" not in (await hub.get("/metrics")).text


@pytest.mark.parametrize("operation", OPEN, ids=lambda operation: operation.id)
async def test_open_operations_need_no_key_and_cost_nothing(hub: Hub, operation: Operation) -> None:
    hub.key("free")  # the first key ends the single-user mode
    answer = await hub.get(operation.example)
    assert answer.status_code == 200
    assert "nettrace-cost" not in answer.headers


async def test_without_any_key_a_hub_on_loopback_is_its_users(hub: Hub) -> None:
    assert (await hub.get("/api/v1/targets")).status_code == 200
    hub.key("free")
    assert (await hub.get("/api/v1/targets")).status_code == 401


async def test_a_tiers_history_ends_where_it_ends(hub: Hub) -> None:
    hub.clock += 86_400 * 10**9 - 3600 * 10**9  # the first of the two hours of data is now a day old
    await hub.service.refresh()
    path = "/api/v1/latency/api.example.com/history?start=2026-11-01T00:00:00Z&resolution=raw&region=nyc&limit=1000"
    free = await hub.json(path, headers=hub.key("free"))
    pro = await hub.json(path, headers=hub.key("pro"))
    assert (free["data_points"], pro["data_points"]) == (60, 120)
    assert free["clamped"]
    assert free["window"]["start"] == "2026-11-20T11:00:00.000000Z"
    old = (
        await hub.json("/api/v1/rounds?start=2026-11-20T10:00:00Z&order=asc&limit=1", headers=hub.key("pro"))
    )["data"][0]
    assert (await hub.get(f"/api/v1/rounds/{old['id']}", headers=hub.key("free"))).status_code == 404
