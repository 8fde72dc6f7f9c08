"""Each TOML file beside this one is a small internet, one measurement, and what an honest answer looks like."""

from pathlib import Path

import pytest

from nettrace.errors import Invalid
from nettrace.testing.scenario import read_scenario

FILES = sorted(Path(__file__).parent.glob("*.toml"))


@pytest.mark.parametrize("file", FILES, ids=[file.stem for file in FILES])
def test_scenario(file: Path) -> None:
    scenario = read_scenario(file.read_text())

    played = scenario.play()

    assert played.failures() == [], scenario.title


def test_a_scenario_plays_the_same_every_time() -> None:
    scenario = read_scenario((Path(__file__).parent / "reordered_and_doubled.toml").read_text())

    assert scenario.play(seed=9).measurement == scenario.play(seed=9).measurement


def test_an_expectation_that_does_not_hold_is_told() -> None:
    text = (Path(__file__).parent / "plain_udp.toml").read_text()

    played = read_scenario(text.replace('"10.0.0.4"', '"10.0.0.44"', 1)).play()

    assert any("hops are" in failure for failure in played.failures())


def test_a_misspelt_key_is_an_error() -> None:
    with pytest.raises(Invalid, match="reeched"):
        read_scenario('title = "x"\nmeasure = "ping"\n[expect]\nreeched = true\n')
