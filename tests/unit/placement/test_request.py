"""A request is read as it stands or refused with the table, the name, the line and what to do."""

import pytest

from nettrace.errors import Invalid
from nettrace.placement.physics import check_physics
from nettrace.placement.request import parse_request, read_request

WHOLE = """\
[limits]
budget_usd_month = 200.0
max_sites = 3
redundancy = 1
backup_differs = "provider"
[[venue]]
name = "v1"
usd_per_ms_month = 12.5
max_ms = 40.0
backup_max_ms = 120.0
forbid_countries = ["US"]
lat = 35.6
lon = 139.7
[[site]]
name = "s1"
provider = "a"
country = "JP"
usd_month = 60.0
pinned = false
lat = 1.35
lon = 103.8
[[latency]]
venue = "v1"
site = "s1"
p50_ms = 68
low_ms = 66.1
high_ms = 73.0
"""


def test_every_field_of_the_format_is_read() -> None:
    request = parse_request(WHOLE)
    assert (request.limits.budget_usd_month, request.limits.max_sites, request.limits.redundancy) == (
        200,
        3,
        1,
    )
    assert (request.venue[0].max_ms, request.venue[0].backup_max_ms) == (40, 120)
    assert request.venue[0].forbid_countries == ("US",)
    assert (request.site[0].provider, request.site[0].country, request.site[0].pinned) == ("a", "JP", False)
    assert (request.latency[0].p50_ms, request.latency[0].low_ms, request.latency[0].high_ms) == (
        68,
        66.1,
        73,
    )


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("max_sites", "max_site", "limits (line 3): unknown key 'max_site'; did you mean 'max_sites'?"),
        ("[[venue]]", "[[venues]]", "unknown table 'venues'; did you mean 'venue'?"),
        ("max_ms = 40.0", "max_ms = -1", "venue 'v1' (line 9): max_ms is -1, which is below zero"),
        ("max_ms = 40.0", "max_ms = nan", "venue 'v1' (line 9): max_ms is nan, which is no finite number"),
        ("p50_ms = 68", 'p50_ms = "68"', "latency 1 (line 25): p50_ms: expected a number, got text"),
        ("p50_ms = 68", "p50_ms = 80", "latency 1 (line 22): low_ms <= p50_ms <= high_ms does not hold"),
        ('site = "s1"\np50', 'site = "s2"\np50', "latency 1 (line 24): there is no site 's2'"),
        ("usd_month = 60.0", "", "site 's1' (line 14): missing required field `usd_month`"),
        ("redundancy = 1", "redundancy = 2", "limits (line 4): redundancy is 2"),
        ('"provider"', '"planet"', "backup_differs: invalid enum value 'planet'"),
        ('provider = "a"', "", "site 's1' (line 14): its provider is not given, but backup_differs"),
        ('country = "JP"', "", "its country is not given, but venue 'v1' forbids countries"),
        ('["US"]', '["USA"]', "'USA' is no ISO 3166 code"),
        ("lat = 35.6\n", "", "venue 'v1' (line 6): lat and lon go together"),
        ("lat = 35.6", "lat = 95", "venue 'v1' (line 12): lat is 95; it goes from -90 to 90"),
        ("p50_ms = 68", 'p50_ms = 68\nevidence = "measured"', "unknown key 'evidence'"),
        ("usd_month = 60.0", "usd_month = 1e12", "above 1e+09"),
        ("[limits]", "[limits", "the request is no TOML"),
        ('name = "v1"', 'name = " "', "its name is empty"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_where_it_stands(old: str, new: str, words: str) -> None:
    assert old in WHOLE
    with pytest.raises(Invalid) as caught:
        parse_request(WHOLE.replace(old, new, 1))
    assert words in str(caught.value)
    assert caught.value.exit_code == 2


def test_names_and_pairs_are_unique() -> None:
    site = WHOLE[WHOLE.index("[[site]]") : WHOLE.index("[[latency]]")]
    with pytest.raises(Invalid, match="another site has this name"):
        parse_request(WHOLE + site)
    with pytest.raises(Invalid, match="v1 and s1 have two latencies"):
        parse_request(WHOLE + WHOLE[WHOLE.index("[[latency]]") :])


@pytest.mark.parametrize(("table", "words"), [("venue", "has no venue"), ("site", "no site to choose from")])
def test_an_empty_request_says_what_to_add(table: str, words: str) -> None:
    other = (
        "site = [{name = 's', usd_month = 1}]"
        if table == "venue"
        else "venue = [{name = 'v', usd_per_ms_month = 1}]"
    )
    with pytest.raises(Invalid, match=words):
        parse_request(f"{other}\n{table} = []")


def test_a_latency_below_the_floor_is_refused_with_the_floor() -> None:
    request = parse_request(WHOLE)
    check_physics(request, lambda *_: 68.0)
    with pytest.raises(
        Invalid, match=r"68 ms between site 's1' and venue 'v1' is impossible: light needs 68\.100 ms"
    ):
        check_physics(request, lambda *_: 68.1)


def test_without_coordinates_light_is_not_asked() -> None:
    bare = parse_request(WHOLE.replace("lat = 1.35\nlon = 103.8\n", ""))
    check_physics(bare, lambda *_: 1e9)


def test_a_list_where_a_table_belongs_is_pointed_at() -> None:
    with pytest.raises(Invalid, match="limits: expected a table, got a list"):
        read_request({"limits": []})
