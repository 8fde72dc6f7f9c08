"""RIPE Atlas' client against a double that checks every request by the published shapes."""

from pathlib import Path
from typing import Any

import pytest
from tests.unit.outside_remote.doubles import FakeAtlas, Request, served
from tests.unit.outside_remote.test_globalping import Time

from nettrace.errors import Invalid, QuotaExceeded, Unauthenticated
from nettrace.model.measurement import Clock, Outcome, Reason
from nettrace.model.remote import Errand
from nettrace.outside.allowance import Allowance, Window
from nettrace.outside.remote import World
from nettrace.outside.ripeatlas import RipeAtlas

PING = Errand(kind="ping", target="api.example", places=("Tokyo",), probes=3, packets=3)


def client(url: str, folder: Path, **environ: str) -> RipeAtlas:
    time = Time()
    world = World(Allowance(folder / "ledger.sqlite", time.now), time.now, time.sleep)
    return RipeAtlas(world, {"NETTRACE_ATLAS_URL": url, "NETTRACE_ATLAS_KEY": "k", **environ})


def left(folder: Path) -> int:
    window = Window(service="atlas", account="nobody", unit="credits", limit=21_600, seconds=86_400)
    return Allowance(folder / "ledger.sqlite", Time().now).left(window)


def test_probes_near_a_city_ping_once_for_twice_the_credits(tmp_path: Path) -> None:
    fake = FakeAtlas()
    fake.silent = {13}
    with served(fake) as double:
        there = client(double.url, tmp_path)
        cost = there.cost(PING)
        assert (cost.amount, cost.unit, cost.left, cost.limit) == (18, "credits", 21_600, 21_600)
        found = there.run(PING)
    assert "radius=35.6" in fake.query and "status=1" in fake.query
    [body] = fake.bodies
    assert body["definitions"][0]["packets"] == 3 and body["definitions"][0]["resolve_on_probe"] is True
    assert body["probes"] == [{"type": "probes", "value": "6002,11,13", "requested": 3}], (
        "an anchor, then other networks"
    )
    assert [each.probe.code for each in found.results] == ["atlas:6002", "atlas:11", "atlas:13"]
    first: Any = found.results[0].measurement
    assert first.clock is Clock.USER and [each.rtt_ns for each in first.samples] == [
        2_500_000,
        None,
        2_250_000,
    ]
    silent = found.results[2].measurement
    assert (silent.outcome, silent.reason) == (Outcome.NOT_MEASURED, Reason.VANTAGE_DOWN)
    assert found.results[0].probe.country == "JP" and found.results[0].probe.latitude == 35.7
    assert (found.number, found.taken, left(tmp_path)) == ("atlas:9001", 18, 21_582)


def test_the_balance_is_the_limit_where_it_is_smaller(tmp_path: Path) -> None:
    with served(FakeAtlas(balance=17)) as double:
        there = client(double.url, tmp_path)
        assert there.cost(PING).left == 17
        with pytest.raises(QuotaExceeded, match="takes 18 credits, and 17"):
            there.run(PING)
        assert not double.answer.bodies  # type: ignore[attr-defined]


def test_a_key_that_may_not_see_the_balance_still_measures(tmp_path: Path) -> None:
    fake = FakeAtlas()

    def answer(asked: Request) -> tuple[int, dict[str, str], Any]:
        return (403, {}, {"error": {"detail": "no"}}) if "credits" in asked.path else fake(asked)

    with served(answer) as double:
        there = client(double.url, tmp_path, NETTRACE_ATLAS_CREDITS_DAY="100")
        assert there.cost(PING).left == 100
        assert len(there.run(PING).results) == 3


@pytest.mark.parametrize(
    ("status", "error", "kind"),
    [
        (400, {"status": 400, "detail": "x", "errors": [{"detail": "too many probes"}]}, Invalid),
        (403, {"status": 403, "title": "Forbidden"}, Unauthenticated),
        (429, {"status": 429, "detail": "slow down"}, QuotaExceeded),
    ],
)
def test_a_refusal_gives_the_credits_back(tmp_path: Path, status: int, error: Any, kind: Any) -> None:
    fake = FakeAtlas()

    def answer(asked: Request) -> tuple[int, dict[str, str], Any]:
        return (status, {}, {"error": error}) if asked.method == "POST" else fake(asked)

    with served(answer) as double, pytest.raises(kind):
        client(double.url, tmp_path).run(PING)
    assert left(tmp_path) == 21_600


def test_what_atlas_does_not_do_is_said_before_it_is_asked(tmp_path: Path) -> None:
    with served(FakeAtlas()) as double:
        there = client(double.url, tmp_path)
        with pytest.raises(Invalid, match="HTTP of its own anchors"):
            there.cost(
                Errand(kind="http", target="api.example", places=("Tokyo",), url="https://api.example/")
            )
        with pytest.raises(Invalid, match="no known place"):
            there.cost(Errand(kind="ping", target="api.example", places=("Nowhere at all",)))
        assert double.asked == []
    with pytest.raises(Unauthenticated, match="NETTRACE_ATLAS_KEY"):
        client(double.url, tmp_path, NETTRACE_ATLAS_KEY="")
