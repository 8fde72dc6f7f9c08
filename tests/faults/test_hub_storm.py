"""Processes of a hub killed at random under load: what was acknowledged is there, once, and the store is sound."""

from bench.hub_faults import Remains, storm


def assert_nothing_lost(left: Remains) -> None:
    assert (left.lost, left.doubled, left.wrong, left.went_back, left.faults) == (0, 0, 0, (), ())
    assert left.rows > 100
    assert left.broken > 0, "no call was ever cut short: the storm proved nothing"


async def test_a_writer_killed_at_any_moment_loses_and_doubles_nothing_it_acknowledged(tmp_path):
    assert_nothing_lost(await storm(tmp_path / "hub", kills=18, longest_s=0.1))


async def test_neither_do_api_workers_and_writer_killed_in_any_order(tmp_path):
    assert_nothing_lost(await storm(tmp_path / "hub", kills=8, workers=2, longest_s=0.1, seed=2))
