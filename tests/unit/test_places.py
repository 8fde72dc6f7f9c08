"""The shipped gazetteer."""

import subprocess
import sys

import pytest

from nettrace.errors import Invalid
from nettrace.outside import places
from nettrace.outside.places import city, country_circle, find, fold, homonyms, regions

FORMS = {
    "Tokyo": ("Tokyo", "JP"),
    "tokyo,jp": ("Tokyo", "JP"),
    "Tokyo, Japan": ("Tokyo", "JP"),
    "Tokyo JP": ("Tokyo", "JP"),
    "NRT": ("Tokyo", "JP"),
    "hnd": ("Tokyo", "JP"),
    "TYO": ("Tokyo", "JP"),
    "aws:ap-northeast-1": ("Tokyo", "JP"),
    "AWS:AP-NORTHEAST-1": ("Tokyo", "JP"),
    "gcp:us-east4": ("Ashburn", "US"),
    "azure:westeurope": ("Amsterdam", "NL"),
    "fly:ewr": ("Secaucus", "US"),
    "EWR": ("Secaucus", "US"),
    "São Paulo": ("Sao Paulo", "BR"),
    "Sao Paulo": ("Sao Paulo", "BR"),
    "  new   york ": ("New York", "US"),
    "New York, NY": ("New York", "US"),
    "NYC": ("New York", "US"),
    "CDMX": ("Mexico City", "MX"),
    "Zürich": ("Zurich", "CH"),
    "München": ("Munich", "DE"),
    "Frankfurt": ("Frankfurt", "DE"),
    "Frankfurt am Main": ("Frankfurt", "DE"),
    "Köln": ("Cologne", "DE"),
    "Kiev": ("Kyiv", "UA"),
    "Bangalore": ("Bengaluru", "IN"),
    "Łódź": ("Lodz", "PL"),
    "London": ("London", "GB"),
    "London, ON": None,
    "London, Canada": ("London", "CA"),
    "London, UK": ("London", "GB"),
    "Portland, OR": ("Portland", "US"),
    "Nowhere at all": None,
    "api.example.com": None,
    "aws:nowhere-1": None,
    "": None,
    ",": None,
    "\t\n": None,
}


@pytest.mark.parametrize("text", FORMS)
def test_the_ways_people_name_places(text: str) -> None:
    found = find(text)
    assert (found and (found.name, found.country)) == FORMS[text]


@pytest.mark.parametrize(
    ("text", "latitude", "longitude"),
    [("35.6,139.7", 35.6, 139.7), (" -33.9, 151.2 ", -33.9, 151.2), ("0 0", 0, 0), ("+1.5;-2", 1.5, -2)],
)
def test_coordinates_are_places_too(text: str, latitude: float, longitude: float) -> None:
    found = find(text)
    assert found is not None
    assert (found.latitude, found.longitude, found.radius_km) == (latitude, longitude, 0)


def test_coordinates_off_the_globe_are_refused() -> None:
    with pytest.raises(Invalid):
        find("135.6,139.7")


@pytest.mark.parametrize(
    ("name", "country"),
    [
        ("London", "GB"),
        ("Paris", "FR"),
        ("Birmingham", "GB"),
        ("San Jose", "US"),
        ("Valencia", "VE"),
        ("Hyderabad", "IN"),
        ("Santiago", "CL"),
        ("Barcelona", "ES"),
        ("Melbourne", "AU"),
        ("Vancouver", "CA"),
        ("Moscow", "RU"),
        ("Odessa", "UA"),
        ("Perth", "AU"),
        ("Hamilton", "CA"),
    ],
)
def test_of_cities_of_one_name_the_most_populous_counts(name: str, country: str) -> None:
    found = homonyms(name)
    assert found[0].country == country
    assert len({place.country for place in found}) > 1


def test_portland_is_in_oregon_unless_one_says_maine() -> None:
    oregon, maine = find("Portland"), find("Portland, ME")
    assert oregon is not None
    assert maine is not None
    assert oregon.longitude < -120 < -71 < maine.longitude


def test_an_iata_code_is_the_city_its_network_sites_stand_in() -> None:
    airport, town = find("LHR"), find("London")
    assert airport is not None
    assert town is not None
    assert (airport.latitude, airport.longitude) == (town.latitude, town.longitude)
    assert airport.evidence == "given: IATA LHR"


def test_every_region_of_the_clouds_is_on_the_globe() -> None:
    for provider, least in {"aws": 35, "gcp": 40, "azure": 50}.items():
        found = regions(provider)
        assert len(found) >= least
        assert all(-90 <= place.latitude <= 90 and -180 <= place.longitude <= 180 for place in found.values())


def test_a_countrys_circle_holds_its_cities() -> None:
    from nettrace.analysis.geo.sphere import between_km

    circle, munich, hamburg = country_circle("de"), city("Munich", "DE"), city("Hamburg", "DE")
    assert circle is not None
    assert munich is not None
    assert hamburg is not None
    assert max(between_km(circle, munich), between_km(circle, hamburg)) < circle.radius_km < 700
    assert country_circle("ZZ") is None


def test_every_country_circle_holds_every_shipped_city_of_the_country() -> None:
    from nettrace.analysis.geo.sphere import distance_km

    circles = {}
    outside = []
    for line in places._text("places.tsv").strip().splitlines():
        name, code, _, latitude, longitude, *_ = line.split("\t")
        circle = circles.setdefault(code, country_circle(code))
        if circle is not None:
            away = distance_km(circle.latitude, circle.longitude, float(latitude), float(longitude))
            if away > circle.radius_km:
                outside.append((name, code, away, circle.radius_km))
    assert outside == []


def test_folding_is_what_the_tables_keys_went_through() -> None:
    assert [fold(text) for text in ("Tromsø", "Łódź", "  São\tPaulo ", "Straße")] == [
        "tromso",
        "lodz",
        "sao paulo",
        "strasse",
    ]


def test_importing_the_gazetteer_reads_no_file() -> None:
    code = (
        "import nettrace.outside.places as p; assert p._text.cache_info().currsize == 0; "
        "p.find('1,2'); assert p._text.cache_info().currsize == 0"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_package_says_where_its_facts_come_from() -> None:
    from importlib.resources import files

    data = files("nettrace.outside").joinpath("data")
    licences = data.joinpath("LICENCES.md").read_text(encoding="utf-8")
    for file in data.iterdir():
        if file.name.endswith(".tsv"):
            assert f"`{file.name}`" in licences
    assert "GeoNames" in licences
    assert "CC BY 4.0" in licences
