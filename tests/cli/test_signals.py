"""`nettrace signals replay` and `list`, as a user runs them."""

import json
import random
from pathlib import Path

import pytest
from tests.cli.program import nettrace
from tests.unit.signals.series import steady

START = 1_480_550_400


def written(path: Path, values: list[float | None]) -> str:
    """A file of rows every four minutes."""
    rows = [f"{START + 240 * place},{'' if value is None else value}" for place, value in enumerate(values)]
    path.write_text("\n".join(["t,rtt_ms", *rows]) + "\n")
    return str(path)


def test_a_step_in_a_file_is_one_object_with_the_contracts_fields(tmp_path: Path) -> None:
    file = written(tmp_path / "a.csv", [*steady(31.2, 100), *steady(44.0, 60, seed=2)])
    done = nettrace("signals", "replay", file, "-o", "ndjson")
    assert (done.code, done.err) == (0, "")
    row = done.row
    assert {key: row[key] for key in ("schema", "kind", "at", "direction", "severity", "tier")} == {
        "schema": "nettrace.signal/1", "kind": "shift", "at": float(START + 24_000), "direction": "up",
        "severity": "warning", "tier": "tentative",
    }  # fmt: skip
    assert row["at"] < row["detected_at"] <= START + 240 * 110
    assert 0 <= row["confidence"] <= 1
    assert row["from_ms"] == pytest.approx(31.2, abs=0.1)
    assert row["to_ms"] == pytest.approx(44.0, abs=0.1)


def test_the_confirmed_tier_says_the_same_change_later(tmp_path: Path) -> None:
    file = written(tmp_path / "a.csv", [*steady(31.2, 100), *steady(44.0, 60, seed=2)])
    first = nettrace("signals", "replay", file).row
    confirmed = nettrace("signals", "replay", file, "--tier", "confirmed").row
    assert confirmed["at"] == first["at"]
    assert confirmed["detected_at"] > first["detected_at"]
    assert len(nettrace("signals", "replay", file, "--tier", "all").rows) == 2


def test_a_prefix_of_the_file_says_the_same(tmp_path: Path) -> None:
    values = [*steady(40, 100), *steady(50, 40, seed=2), *steady(42, 80, seed=3), None, None, None, None]
    whole = nettrace("signals", "replay", written(tmp_path / "a.csv", values)).rows
    for cut in (106, 150, 222):
        early = nettrace("signals", "replay", written(tmp_path / "b.csv", values[:cut])).rows
        assert early == [row for row in whole if row["detected_at"] < START + 240 * cut]
    assert {row["kind"] for row in whole} == {"shift", "loss"}


def test_only_the_detectors_asked_for_run_and_lines_may_come_from_a_pipe(tmp_path: Path) -> None:
    values = [*steady(40, 100), *steady(50, 40, seed=2), None, None, None, None]
    content = Path(written(tmp_path / "a.csv", values)).read_bytes()
    for name in ("shift", "loss"):
        done = nettrace("signals", "replay", "-", "--detector", name, "--interval", "240", stdin=content)
        assert {row["kind"] for row in done.rows} == {name}


def test_two_series_diverge(tmp_path: Path) -> None:
    moved = written(tmp_path / "a.csv", [*steady(40, 100), *steady(50, 40, seed=2)])
    calm = written(tmp_path / "b.csv", steady(40, 140, seed=3))
    row = nettrace("signals", "replay", moved, "--against", calm, "--detector", "divergence").row
    assert (row["kind"], row["at"]) == ("divergence", float(START + 24_000))


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (("--detector", "zscore"), "There are shift"),
        (("--interval", "0"), "--interval"),
        (("--tier", "sure"), "--tier"),
    ],
)
def test_what_cannot_be_meant_ends_with_2(tmp_path: Path, words: tuple[str, ...], hint: str) -> None:
    done = nettrace("signals", "replay", written(tmp_path / "a.csv", steady(40, 5)), *words)
    assert (done.code, done.out) == (2, "")
    assert hint in done.err


def test_a_broken_row_is_named_and_a_late_one_is_counted(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("1480550400,5\nhello\n")
    broken = nettrace("signals", "replay", str(tmp_path / "a.csv"))
    assert (broken.code, broken.out) == (2, "")
    assert "line 2" in broken.err
    (tmp_path / "a.csv").write_text("200,5\n100,5\n300,5\n")
    late = nettrace("signals", "replay", str(tmp_path / "a.csv"))
    assert (late.code, late.out) == (0, "")
    assert "1 row" in late.err


def test_the_list_says_what_each_detector_promises() -> None:
    rows = nettrace("signals", "list").rows
    assert {"shift", "anomaly", "trend", "loss", "divergence", "seed_zscore"} <= {row["name"] for row in rows}
    assert all(row["false_a_week"] > 0 for row in rows)


def test_a_table_has_a_line_an_event(tmp_path: Path) -> None:
    file = written(tmp_path / "a.csv", [*steady(31.2, 100), *steady(44.0, 60, seed=2)])
    heading, line = nettrace("signals", "replay", file, "-o", "table").out.splitlines()
    assert heading.startswith("at (UTC)")
    assert "shift" in line
    assert "2016-12-01 06:40:00" in line
    assert json.loads(nettrace("signals", "replay", file, "-o", "json").out)[0]["kind"] == "shift"


def test_a_forecast_is_a_band_or_a_reason_with_what_it_was_judged_by(tmp_path: Path) -> None:
    dice = random.Random(4)
    quarters = [f"{START + 900 * place},{40 + dice.gauss(0, 2):.3f}" for place in range(96 * 14)]
    file = tmp_path / "a.csv"
    file.write_text("\n".join(quarters))
    made = nettrace("signals", "forecast", str(file), "-o", "ndjson").row
    assert (made["schema"], made["offered"], made["because"]) == ("nettrace.forecast/1", True, None)
    assert [point["hours"] for point in made["points"]] == [1, 3, 6, 12, 24]
    assert all(point["low_ms"] < 40 < point["high_ms"] for point in made["points"])
    assert made["points"][-1]["at"] == "2016-12-15T23:45:00.000000Z"
    assert {each["name"] for each in made["card"]["baselines"]} == {"last value", "seasonal naive"}
    file.write_text("\n".join(quarters[: 96 * 3]))
    short = nettrace("signals", "forecast", str(file), "-o", "table")
    assert short.code == 0
    assert short.out.startswith("not offered, because it needs 10 days")
