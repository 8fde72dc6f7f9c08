"""Geolocation databases and exchange points, in the shapes they are published in."""

import json
import struct
from pathlib import Path
from typing import Any

import pytest

from nettrace.analysis.geo.annotate import Network
from nettrace.errors import SourceError
from nettrace.outside.asn import Skipped, network_lookup
from nettrace.outside.exchanges import compile_exchanges, exchange_lookup
from nettrace.outside.geoip import LEAST_RADIUS_KM, UNKNOWN_RADIUS_KM, compile_places, place_lookup

FORMS = {
    "header": "prefix,country,city,latitude,longitude,radius_km\n192.0.2.0/24,JP,Osaka,34.69,135.5,80\n",
    "DB-IP": '"192.0.2.0","192.0.2.255","AS","JP","Osaka","Osaka","34.69","135.5"\n',
    "IP2Location DB5": '"3221225984","3221226239","JP","Japan","Osaka","Osaka","34.69","135.5"\n',
    "geofeed": "# RFC 8805\n192.0.2.0/24,JP,JP-27,Osaka,\n",
}


@pytest.mark.parametrize("form", FORMS)
def test_every_published_form_places_the_address(form: str, tmp_path: Path) -> None:
    path = tmp_path / "db.csv"
    path.write_text(FORMS[form])
    place = place_lookup(path)
    found = place("192.0.2.9")
    assert found is not None
    assert (found.name, found.country) == ("Osaka", "JP")
    assert (found.latitude, found.longitude) == (
        pytest.approx(34.69, abs=0.01),
        pytest.approx(135.5, abs=0.01),
    )
    assert found.evidence == "database: Osaka, JP"
    assert place("192.0.3.1") is None


def test_a_radius_is_never_finer_than_router_databases_deserve(tmp_path: Path) -> None:
    path = tmp_path / "db.csv"
    path.write_text(
        "prefix,country,city,lat,lon,radius\n192.0.2.0/24,JP,Osaka,34.69,135.5,1\n198.51.100.0/24,JP,Osaka,34.69,135.5,\n"
    )
    fine, none = place_lookup(path)("192.0.2.1"), place_lookup(path)("198.51.100.1")
    assert fine is not None
    assert none is not None
    assert (fine.radius_km, none.radius_km) == (LEAST_RADIUS_KM, UNKNOWN_RADIUS_KM)


def test_an_answer_of_a_country_alone_is_a_circle_around_it(tmp_path: Path) -> None:
    path = tmp_path / "db.csv"
    path.write_text("192.0.2.0/24,DE,,,\n")
    found = place_lookup(path)("192.0.2.1")
    assert found is not None
    assert (found.name, found.country) == ("Germany", "DE")
    assert 300 < found.radius_km < 700


def test_lines_that_cannot_be_read_are_told_and_skipped(tmp_path: Path) -> None:
    path = tmp_path / "db.csv"
    path.write_text(
        "prefix,country,city,latitude,longitude\nrubbish,JP,Osaka,1,2\n192.0.2.0/24,JP,Osaka,north,2\n198.51.100.0/24,JP,Osaka,34.69,135.5\n"
    )
    image, skipped = compile_places(path)
    assert [each.line for each in skipped] == [1, 2]
    path.write_bytes(image)
    assert place_lookup(path)("198.51.100.1") is not None
    path.write_text("prefix,country\nrubbish,JP\n")
    with pytest.raises(SourceError, match="places no address"):
        compile_places(path)


# --- MMDB: a minimal writer of the format (https://maxmind.github.io/MaxMind-DB/), so that a real reader reads it


def _encode(value: Any) -> bytes:
    if isinstance(value, dict):
        return _control(7, len(value)) + b"".join(_encode(k) + _encode(v) for k, v in value.items())
    if isinstance(value, list):
        return _control(11, len(value)) + b"".join(map(_encode, value))
    if isinstance(value, str):
        raw = value.encode()
        return _control(2, len(raw)) + raw
    if isinstance(value, float):
        return _control(3, 8) + struct.pack(">d", value)
    raw = value.to_bytes((value.bit_length() + 7) // 8)
    return _control({Uint16: 5, Uint64: 9}.get(type(value), 6), len(raw)) + raw


class Uint16(int):
    """An integer the format wants as type 5."""


class Uint64(int):
    """An integer the format wants as type 9."""


def _control(kind: int, size: int) -> bytes:
    extra = b""
    if size >= 29:
        assert size < 285
        size, extra = 29, bytes([size - 29])
    return bytes([kind << 5 | size]) + extra if kind < 8 else bytes([size, kind - 7]) + extra


def mmdb(records: dict[str, dict[str, Any]], kind: str) -> bytes:
    nodes: list[list[Any]] = [[None, None]]
    data, offsets = b"", {}
    for prefix, record in records.items():
        address, _, length = prefix.partition("/")
        bits = "".join(f"{int(part):08b}" for part in address.split("."))[: int(length)]
        offsets[prefix] = len(data)
        data += _encode(record)
        at = 0
        for bit in bits[:-1]:
            if nodes[at][int(bit)] is None:
                nodes.append([None, None])
                nodes[at][int(bit)] = len(nodes) - 1
            at = nodes[at][int(bit)]
        nodes[at][int(bits[-1])] = ("data", offsets[prefix])
    count = len(nodes)

    def number(child: Any) -> bytes:
        value = count if child is None else child if isinstance(child, int) else count + 16 + child[1]
        return value.to_bytes(3)

    tree = b"".join(number(left) + number(right) for left, right in nodes)
    about = {
        "binary_format_major_version": Uint16(2),
        "binary_format_minor_version": Uint16(0),
        "build_epoch": Uint64(1_700_000_000),
        "database_type": kind,
        "description": {"en": "made for a test"},
        "ip_version": Uint16(4),
        "languages": ["en"],
        "node_count": count,
        "record_size": Uint16(24),
    }
    return tree + bytes(16) + data + b"\xab\xcd\xefMaxMind.com" + _encode(about)


CITY = {
    "city": {"names": {"en": "Osaka"}},
    "country": {"iso_code": "JP"},
    "location": {"latitude": 34.69, "longitude": 135.5, "accuracy_radius": 20},
}


def test_a_city_mmdb_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "city.mmdb"
    path.write_bytes(
        mmdb({"192.0.2.0/24": CITY, "198.51.100.0/24": {"country": {"iso_code": "DE"}}}, "DBIP-City-Lite")
    )
    place = place_lookup(path)
    osaka, germany = place("192.0.2.5"), place("198.51.100.5")
    assert osaka is not None
    assert germany is not None
    assert (osaka.name, osaka.country, osaka.radius_km) == ("Osaka", "JP", LEAST_RADIUS_KM)
    assert germany.name == "Germany"
    assert place("203.0.113.1") is None
    assert place("2001:db8::1") is None
    assert place("no address") is None


def test_an_asn_mmdb_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "asn.mmdb"
    record = {"autonomous_system_number": 64500, "autonomous_system_organization": "Example"}
    path.write_bytes(mmdb({"192.0.2.0/24": record}, "GeoLite2-ASN"))
    network = network_lookup(path)
    assert network("192.0.2.5") == Network(64500, "Example")
    assert network("203.0.113.1") is None


def test_a_damaged_mmdb_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "city.mmdb"
    path.write_bytes(b"junk\xab\xcd\xefMaxMind.com\xff\xff")
    with pytest.raises(SourceError, match="no readable MMDB file"):
        place_lookup(path)


# --- exchange points

IX = {"data": [
    {"id": 1, "name": "Example-IX", "city": "Frankfurt/Main", "country": "DE"},
    {"id": 2, "name": "Nowhere-IX", "city": "Atlantis", "country": "XX"},
]}  # fmt: skip
IXLAN = {"data": [{"id": 11, "ix_id": 1}, {"id": 12, "ix_id": 2}]}
IXPFX = {"data": [
    {"id": 1, "ixlan_id": 11, "prefix": "198.51.100.0/24"},
    {"id": 2, "ixlan_id": 11, "prefix": "2001:db8:7::/64"},
    {"id": 3, "ixlan_id": 12, "prefix": "203.0.113.0/24"},
]}  # fmt: skip


def test_peeringdbs_three_files_place_a_peering_lan(tmp_path: Path) -> None:
    paths = []
    for name, content in (("ix", IX), ("ixlan", IXLAN), ("ixpfx", IXPFX)):
        paths.append(tmp_path / f"{name}.json")
        paths[-1].write_text(json.dumps(content))
    image, skipped = compile_exchanges(paths)
    table = tmp_path / "table"
    table.write_bytes(image)
    place = exchange_lookup(table)
    for address in ("198.51.100.7", "2001:db8:7::1"):
        found = place(address)
        assert found is not None
        assert (found.name, found.country, found.evidence) == ("Frankfurt", "DE", "ixp: Example-IX")
    assert place("203.0.113.1") is None
    assert skipped == [Skipped(3, "no known city 'Atlantis' of Nowhere-IX")]


def test_one_file_keyed_by_object_or_a_csv_does_as_well(tmp_path: Path) -> None:
    whole, table = tmp_path / "peeringdb.json", tmp_path / "lans.csv"
    whole.write_text(json.dumps({"ix": IX, "ixlan": IXLAN, "ixpfx": IXPFX}))
    table.write_text("prefix,name,city,country\n198.51.100.0/24,Example-IX,Frankfurt,DE\n")
    for path in (whole, table):
        found = exchange_lookup(path)("198.51.100.7")
        assert found is not None
        assert found.evidence == "ixp: Example-IX"


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "{}",
        "[]",
        '{"data": 3}',
        "prefix,name,city,country\n",
        '{"data": [{"prefix": "x", "ixlan_id": 1}]}',
    ],
)
def test_what_holds_no_peering_lan_is_refused(content: str, tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_text(content)
    with pytest.raises(SourceError):
        exchange_lookup(path)
