"""Targets: what is shown, and what is never shown as something else."""

from tests.api.conftest import Hub


async def test_a_target_shows_its_newest_round_from_the_nearest_vantage_that_measured(hub: Hub) -> None:
    page = await hub.json("/api/v1/targets")
    row = next(row for row in page["data"] if row["host"] == "api.example.com")
    assert (row["region"], row["outcome"]) == ("nyc", "measured")  # fra is nearer, but silent for ten minutes
    assert row["rtt_ms"] == row["total_rtt"]
    assert 9 < row["rtt_ms"] < 10
    assert (row["regions_measured"], row["regions"]) == (2, 3)
