"""`nettrace keys`, `targets` and `validate` on a hub that does not run: what they change is there for the next process."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from nettrace.cli.root import group
from nettrace.hub import keys


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Any]:
    def invoke(*words: str) -> Result:
        return CliRunner().invoke(
            group, [*words, "--data", str(tmp_path)] if "check" not in words else list(words)
        )

    yield invoke


def rows(result: Result) -> list[dict[str, Any]]:
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_a_key_is_shown_once_and_kept_as_a_hash_only(run: Any, tmp_path: Path) -> None:
    made = run("keys", "create", "--tier", "enterprise", "--account", "acme", "--scope", "measure")
    secret = made.stdout.strip()
    assert keys.well_formed(secret)
    assert made.stdout.count("\n") == 1
    (row,) = rows(run("keys", "list"))
    assert (row["account"], row["tier"], row["state"], row["scopes"]) == (
        "acme",
        "enterprise",
        "active",
        ["measure", "read"],
    )
    assert secret[-4:] == row["hint"]
    stored = b"".join(file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())
    assert secret.encode() not in stored


def test_keys_change_rotate_and_die(run: Any) -> None:
    run("keys", "create", "--tier", "free")
    (first,) = rows(run("keys", "list"))
    run("keys", "change", first["id"], "--tier", "pro")
    second = run("keys", "rotate", first["id"], "--grace", "1").stdout.strip()
    run("keys", "revoke", first["id"])
    by_hint = {row["hint"]: row for row in rows(run("keys", "list"))}
    assert by_hint[first["hint"]]["state"] == "revoked"
    assert (by_hint[second[-4:]]["state"], by_hint[second[-4:]]["tier"]) == ("active", "pro")
    refused = run("keys", "change", first["id"], "--tier", "free")
    assert "is revoked" in str(refused.exception)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("create", "--tier", "enterprize"), "Did you mean 'enterprise'?"),
        (("create", "--tier", "test"), "--test"),
        (("create", "--tier", "free", "--account", "\n"), "cannot be the name"),
        (("revoke", "key_nobody"), "there is no key 'key_nobody'"),
    ],
)
def test_what_cannot_be_is_said_with_what_can(run: Any, words: tuple[str, ...], said: str) -> None:
    assert said in str(run("keys", *words).exception)


def test_the_five_tiers_of_the_price_list_are_there(run: Any) -> None:
    tiers = {row["name"]: row for row in rows(run("keys", "tiers", "-o", "ndjson"))}
    assert [
        tiers[name]["price_usd_month"]
        for name in ("free", "pro", "enterprise", "enterprise_pro", "government")
    ] == [0, 249, 2499, 50_000, 500_000]
    assert [
        tiers[name]["history_days"] for name in ("free", "pro", "enterprise", "enterprise_pro", "government")
    ] == [1, 30, 90, 365, 730]


def test_targets_are_the_catalogue_until_there_is_a_hub_and_its_own_from_then_on(
    run: Any, tmp_path: Path
) -> None:
    assert len(rows(run("targets", "list"))) >= 100
    added = run("targets", "add", "API.example", "--url", "wss://api.example:9443/feed")
    assert added.exit_code == 0, added.output
    row = next(row for row in rows(run("targets", "list")) if row["host"] == "api.example")
    assert (row["endpoints"][0]["port"], row["endpoints"][0]["methods"][-1]) == (9443, "ws")
    run("targets", "remove", "api.example")
    assert "api.example" not in {row["host"] for row in rows(run("targets", "list"))}
    assert "not watched" in str(run("targets", "remove", "api.example").exception)


def test_a_file_of_targets_is_taken_whole_or_not_at_all(run: Any, tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(
        "[[target]]\nhost='a.example'\nname='A'\ncategory='Mine'\n[[target]]\nhost='b c'\nname='B'\ncategory='Mine'\n"
    )
    assert "b c" in str(run("targets", "import", str(file)).exception)
    file.write_text(file.read_text().replace("b c", "b.example"))
    assert run("targets", "import", str(file)).exit_code == 0
    assert {"a.example", "b.example"} <= {row["host"] for row in rows(run("targets", "list"))}


def test_the_plans_own_numbers_are_judged_without_any_measurement(run: Any) -> None:
    run("targets", "add", "api.example")
    judged = {(row["target"], row["expected_from"]): row for row in rows(run("validate", "-o", "ndjson"))}
    binance = judged["api.binance.com", "EWR"]
    assert (binance["verdict"], binance["expectation_impossible"]) == ("impossible", True)
    assert binance["floor_ms"] == pytest.approx(102.3, abs=0.1)
    assert judged["www.nyse.com", "EWR"]["verdict"] == "no_data"
    assert all(row["p50_ms"] is None and row["rounds"] == 0 for row in judged.values())
