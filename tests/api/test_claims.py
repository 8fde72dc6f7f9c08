"""Claims over HTTP: each of the registry, with what became of it."""

from pathlib import Path

import pytest
from tests.api.conftest import Hub
from tests.cli.test_registry import OWN_CLAIM

from nettrace.hub.claims import FINDINGS
from nettrace.hub.facts import claims_with
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


async def test_the_operators_own_claims_stand_beside_those_that_ship_with_their_source(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "brochures.toml"
    file.write_text(OWN_CLAIM)
    monkeypatch.setattr("nettrace.hub.claims.known_claims", lambda: claims_with(file))
    rows = (await hub.json("/api/v1/claims"))["data"]
    assert [row["source"] for row in rows] == ["nettrace"] * len(built_in_claims()) + ["brochures.toml"]
    assert (rows[-1]["id"], rows[-1]["finding"]) == ("brochure", "impossible")


async def test_claims_are_chosen_by_finding_and_venue(hub: Hub) -> None:
    rows = (await hub.json("/api/v1/claims"))["data"]
    for name in ("finding", "venue"):
        value = next(row[name] for row in rows if row[name])
        chosen = (await hub.json(f"/api/v1/claims?{name}={value}"))["data"]
        assert chosen == [row for row in rows if row[name] == value]
    assert (await hub.get("/api/v1/claims?finding=true")).status_code == 400
