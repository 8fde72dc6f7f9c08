"""`nettrace registry` and `nettrace claim list|audit`, as programs and people call them."""

from pathlib import Path

import pytest
from tests.cli.program import nettrace
from tests.unit.registry.test_facts import FACT, VENUE


def test_the_list_says_where_each_engine_stands_and_who_says_so() -> None:
    rows = {row["name"]: row for row in nettrace("registry", "list").rows}
    assert len(rows) >= 80
    assert rows["binance-spot"]["engine"] == "aws:ap-northeast-1"
    assert rows["binance-spot"]["contradicting"] >= 2
    assert rows["tiingo"]["engine"] == "unknown"
    assert rows["tiingo"]["engine_place"] is None
    assert all(row["source"] and row["date"] and row["confidence"] for row in rows.values())


@pytest.mark.parametrize("kind", ["sites", "plans", "calendars"])
def test_the_other_lists_carry_source_date_and_confidence_too(kind: str) -> None:
    rows = nettrace("registry", "list", kind).rows
    assert rows
    assert all(row["source"] and row["date"] and row["confidence"] for row in rows)


def test_a_host_shows_all_venues_behind_it() -> None:
    rows = nettrace("registry", "show", "api.alpaca.markets").rows
    assert {row["name"] for row in rows} == {"alpaca", "alpaca-crypto"}
    told = nettrace("registry", "show", "deribit", "-o", "table").out
    assert "Amsterdam  [contradicted]" in told
    assert "https://support.deribit.com" in told


def test_what_is_not_known_is_refused_with_what_is_near() -> None:
    done = nettrace("registry", "show", "binance-spt")
    assert (done.code, done.out) == (2, "")
    assert "binance-spot" in done.err


def test_check_is_silent_on_sound_facts_and_ends_with_1_on_others(tmp_path: Path) -> None:
    assert (nettrace("registry", "check").code, nettrace("registry", "check").out) == (0, "")
    mine = tmp_path / "mine.toml"
    mine.write_text(f'[[plan]]\nprovider = "vultr"\nname = "x"\nvcpu = 1\nmemory_gb = 1\nprice = 5\n{FACT}')
    done = nettrace("registry", "check", "--registry", str(mine))
    assert done.code == 1
    assert [row["of"] for row in done.rows] == ["plan vultr x"]


def test_a_users_file_overrides_from_the_environment_too(tmp_path: Path) -> None:
    mine = tmp_path / "mine.toml"
    mine.write_text(VENUE)
    done = nettrace("registry", "show", "mine", env={"NETTRACE_REGISTRY": str(mine)})
    assert done.row["stands"][0]["building"] == "LD4"
    missing = nettrace("registry", "list", "--registry", str(tmp_path / "none.toml"))
    assert missing.code == 2
    assert "cannot read" in missing.err


def test_claims_are_listed_word_for_word() -> None:
    rows = {row["id"]: row for row in nettrace("claim", "list").rows}
    assert len(rows) >= 40
    assert rows["plan-binance"]["quote"] == "Binance (40-80ms to Singapore)"
    assert (rows["plan-binance"]["document"], rows["plan-binance"]["line"]) == ("expansion plan, 2026-02", 8)


def test_the_audit_gives_a_verdict_the_floors_and_the_reasons() -> None:
    rows = {row["id"]: row for row in nettrace("claim", "audit").rows}
    row = rows["plan-binance"]
    assert (row["schema"], row["verdict"], row["registry"], row["measured"]) == (
        "nettrace.claim_audit/1", "impossible", "contradicts", None,
    )  # fmt: skip
    assert row["as_said"][0]["floor_ms"] == pytest.approx(102.3, abs=0.05)
    told = nettrace("claim", "audit", "-o", "table").out
    assert "impossible            Secaucus -> binance-spot 40-80 ms" in told
    assert "Singapore (light 102.3 ms, fibre 150.1 ms)" in told


OWN_CLAIM = """
[[claim]]
id = "brochure"
kind = "latency"
quote = "1 ms to Tokyo from our Singapore racks"
document = "brochure, 2026-03"
line = 2
date = "2026-03"
origin = "Singapore"
venue = "binance-spot"
said = ["Tokyo"]
low_ms = 1
high_ms = 1
"""


def test_claims_of_ones_own_are_audited_with_those_that_ship_or_alone(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(OWN_CLAIM + OWN_CLAIM.replace("brochure", "plan-binance", 1))
    shipped = len(nettrace("claim", "list").rows)
    rows = {row["id"]: row for row in nettrace("claim", "audit", "--claims", str(file)).rows}
    assert len(rows) == shipped + 1, "one replaces the one that ships"
    assert (rows["brochure"]["source"], rows["brochure"]["verdict"]) == ("mine.toml", "impossible")
    assert rows["plan-binance"]["source"] == "mine.toml"
    assert {row["source"] for row in rows.values()} == {"nettrace", "mine.toml"}
    assert [row["id"] for row in nettrace("claim", "list", "-f", str(file)).rows] == [
        "brochure",
        "plan-binance",
    ]


def test_claims_that_nobody_could_judge_are_found_and_a_hub_refuses_them(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(
        OWN_CLAIM.replace("binance-spot", "no-such-venue").replace('date = "2026-03"', 'date = "soon"')
    )
    done = nettrace("registry", "check", "--claims", str(file))
    assert done.code == 1
    assert [(row["of"], row["what"].split(",")[0]) for row in done.rows] == [
        ("claim brochure", "its date 'soon' is none (2025"),
        ("claim brochure", "names the venue 'no-such-venue'"),
    ]
    refused = nettrace("up", "--no-node", "--data", str(tmp_path / "hub"), "--claims", str(file))
    assert refused.code == 2
    assert "mine.toml: claim brochure its date 'soon' is none" in refused.err
    assert "nettrace registry check --claims FILE" in refused.err


def test_a_request_that_names_registry_venues_is_held_against_light() -> None:
    text = b"""
    venue = [{name = "binance-spot", usd_per_ms_month = 1.0}]
    site = [{name = "vultr:sgp", usd_month = 5}]
    latency = [{venue = "binance-spot", site = "vultr:sgp", p50_ms = 10}]
    """
    done = nettrace("plan", "-", stdin=text)
    assert done.code == 2
    assert "10 ms between site 'vultr:sgp' and venue 'binance-spot' is impossible" in done.err
    assert nettrace("plan", "-", stdin=text.replace(b"p50_ms = 10", b"p50_ms = 70")).row["sites"] == [
        "vultr:sgp"
    ]
