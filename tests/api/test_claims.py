"""Claims over HTTP: each of the registry, with what became of it."""

from tests.api.conftest import Hub

from nettrace.hub.claims import FINDINGS
from nettrace.placement.registry.claims import built_in_claims


async def test_every_claim_of_the_registry_is_there_with_its_finding(hub: Hub) -> None:
    rows = (await hub.json("/api/v1/claims"))["data"]
    assert [row["id"] for row in rows] == [claim.id for claim in built_in_claims()]
    assert {row["finding"] for row in rows} <= set(FINDINGS)
    assert {"impossible", "possible"} <= {row["finding"] for row in rows}
    for row in rows:
        if row["finding"] == "impossible":
            floors = [each["floor_ms"] for each in [*row["as_said"], row["as_known"]] if each]
            assert row["high_ms"] / row["round_trips"] < max(floor for floor in floors if floor is not None)


async def test_claims_are_chosen_by_finding_and_venue(hub: Hub) -> None:
    rows = (await hub.json("/api/v1/claims"))["data"]
    for name in ("finding", "venue"):
        value = next(row[name] for row in rows if row[name])
        chosen = (await hub.json(f"/api/v1/claims?{name}={value}"))["data"]
        assert chosen == [row for row in rows if row[name] == value]
    assert (await hub.get("/api/v1/claims?finding=true")).status_code == 400
