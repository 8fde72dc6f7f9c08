"""An operator's own registry file counts wherever a hub looks a venue, a calendar or a machine up."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from nettrace.errors import ConfigError
from nettrace.hub import facts as facts_module
from nettrace.hub.facts import SETTING, facts
from nettrace.hub.market_hours import market_sessions
from nettrace.hub.solving import Job, solve

OWN = """
[[calendar]]
name = "dark-pool"
zone = "Europe/Paris"
sessions = [{days = "mon tue", opens = "10:00", closes = "11:30"}]
source = "our contract"
date = "2026-11"
confidence = "official"

[[venue]]
name = "dark-pool"
title = "Dark pool"
operator = "Ourselves"
product = "equities"
kind = "exchange"
assets = ["equities"]
calendar = "dark-pool"
stands = [{what = "engine", place = "48.85,2.35", latitude = 48.85, longitude = 2.35, source = "our contract", date = "2026-11", confidence = "official"}]
source = "our contract"
date = "2026-11"
confidence = "official"

[[provider]]
name = "cellar"
title = "Our cellar"
kind = "vps"
sites = {home = "Paris, FR"}
source = "our contract"
date = "2026-11"
confidence = "official"

[[plan]]
provider = "cellar"
name = "shelf"
vcpu = 2
memory_gb = 4.0
price = 7
currency = "USD"
source = "our contract"
date = "2026-11"
confidence = "official"
"""
REQUEST = """
venue = [{name = "dark-pool", usd_per_ms_month = 1}]
site = [{name = "cellar:home", usd_month = 3}]
latency = [{venue = "dark-pool", site = "cellar:home", p50_ms = 2}]
service = [{name = "gateway", vcpu = 1, memory_gb = 2}]
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A file that `NETTRACE_REGISTRY` names, and nothing remembered of another before or after."""
    path = tmp_path / "own.toml"
    path.write_text(OWN)
    monkeypatch.setenv(SETTING, str(path))
    facts.cache_clear()
    market_sessions.cache_clear()
    yield path
    facts.cache_clear()
    market_sessions.cache_clear()


def test_rules_know_the_operators_market_hours(own: Path) -> None:
    assert own.exists()
    assert [stretch.open.isoformat("minutes") for stretch in market_sessions()["dark-pool"].stretches] == [
        "10:00"
    ]
    assert "tse" in market_sessions(), "what ships stays"


def test_a_placement_rents_the_operators_machines_at_the_operators_site(own: Path) -> None:
    assert own.exists()
    plan = solve(Job(request=REQUEST, bare=True)).plan
    assert [(each["site"], each["plan"], each["usd_month"]) for each in plan["rented"]] == [
        ("cellar:home", "shelf", 10)
    ]


def test_a_file_that_cannot_be_is_refused_with_its_name(own: Path) -> None:
    own.write_text("[[venue]]\nname = 'x'")
    facts.cache_clear()
    with pytest.raises(ConfigError, match=r"own.toml"):
        facts()
    own.unlink()
    with pytest.raises(ConfigError, match="cannot read"):
        facts()
    assert facts_module.SETTING == "NETTRACE_REGISTRY"
