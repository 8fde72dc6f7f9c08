"""World files: built-in ones stand, wrong ones are refused with the entry's name."""

import re
from urllib.parse import urlsplit

import pytest

from nettrace.cli.commands.snapshot import venues
from nettrace.errors import LabError
from nettrace.lab.world import Site, fibre_ns, great_circle_km
from nettrace.lab.worldfile import load, parse, read

SMALL = read("small")


@pytest.mark.parametrize("name", ["small", "world"])
def test_built_in_worlds_are_sound(name: str) -> None:
    assert load(name).name == name


def test_the_demo_world_has_the_seeds_vantages_and_more_than_a_hundred_targets() -> None:
    world = load("world")
    assert {vantage.code for vantage in world.vantage} == {
        "ewr",
        "ord",
        "lhr",
        "fra",
        "sin",
        "nrt",
        "bom",
        "mex",
    }
    assert len([target for target in world.target if target.category not in {"Lab", "Engines"}]) == 113
    assert all(target.place for target in world.target)


def test_every_venue_of_the_snapshot_stands_in_the_demo_world() -> None:
    known = {target.name for target in load("world").target}
    assert {urlsplit(venue.url).hostname for venue in venues()} <= known


def test_great_circles_are_those_of_the_earth() -> None:
    newark = Site(code="ewr", city="Newark", country="US", latitude=40.74, longitude=-74.17)
    tokyo = Site(code="nrt", city="Tokyo", country="JP", latitude=35.69, longitude=139.69)
    assert great_circle_km(newark, tokyo) == pytest.approx(10_853, rel=0.005)
    assert great_circle_km(tokyo, tokyo) == 0
    assert fibre_ns(great_circle_km(newark, tokyo)) == pytest.approx(53_100_000, rel=0.005)


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ('site = "chi"\nlabel', 'site = "xxx"\nlabel', "target 'quiet.lab': network 64703 is not at 'xxx'"),
        ('a = "nyc"\nb = "chi"', 'a = "nyc"\nb = "xxx"', "cable 'east-1': no site 'xxx'"),
        ("detour = 1.15", "detour = 0.9", "cable 'atlantic-1': detour 0.9 is shorter than the great circle"),
        ("network = 64701", "network = 1", "vantage 'nyc': no network 1"),
        ("latitude = 40.71", "latitude = 140.71", "site 'nyc': latitude or longitude out of range"),
        ('name = "west.lab"', 'name = "slow.lab"', "two targets are called 'slow.lab'"),
        ("detour = 1.15", "detuor = 1.15", "unknown field `detuor`"),
        ("mtu = 1400", "mtu = 400", "cable 'southern-1': mtu 400 is below 576"),
        ('resolver = "resolver.lab"', 'resolver = "nobody"', "resolver: no target 'nobody'"),
        ('prefix = "100.64.0.0/16"', 'prefix = "100.64.0.1/16"', "crowd '100.64.0.1/16': not a prefix"),
        ("seed = 7", "seed = [", "is not TOML"),
    ],
)
def test_an_impossible_fact_is_refused_by_name(before: str, after: str, words: str) -> None:
    assert before in SMALL
    with pytest.raises(LabError, match=re.escape(words)):
        parse(SMALL.replace(before, after, 1))


def test_an_unknown_world_names_the_known_ones() -> None:
    with pytest.raises(LabError, match="small, world"):
        load("nowhere")
