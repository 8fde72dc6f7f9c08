"""Tables of who announces what, in the forms other people publish them."""

import gzip
from pathlib import Path

import pytest

from nettrace.analysis.geo.annotate import Network
from nettrace.errors import Invalid, SourceError
from nettrace.outside.asn import Skipped, asn_ranges, compile_asn, network_lookup
from nettrace.outside.ranges import RangeTable, compiled, prefix_range, span_range

FORMS = {
    "csv with a header and names": 'prefix,asn,name\n192.0.2.0/24,64500,"Example, Inc."\n2001:db8::/32,AS64501\n',
    "pyasn": "; IP-ASN32-DAT file\n192.0.2.0/24\t64500\n2001:db8::/32\t64501\n",
    "space separated": "192.0.2.0/24 64500\n2001:db8::/32 64501\n",
    "pfx2as": "192.0.2.0\t24\t64500\n2001:db8::\t32\t64501_64502\n",
    "riswhois": "% This is RIPE NCC's Routing Information Service\n\n64500\t192.0.2.0/24\t379\n{64501,64502}\t2001:db8::/32\t12\n",
    "iptoasn": "192.0.2.0\t192.0.2.255\t64500\tGB\tEXAMPLE\n2001:db8::\t2001:db8:ffff:ffff:ffff:ffff:ffff:ffff\t64501\tDE\tOTHER\n"
    "198.51.100.0\t198.51.100.255\t0\tNone\tNot routed\n",
}


@pytest.mark.parametrize("form", FORMS)
def test_every_published_form_gives_the_same_answers(form: str, tmp_path: Path) -> None:
    path = tmp_path / "table"
    path.write_text(FORMS[form])
    network = network_lookup(path)
    inside, other = network("192.0.2.77"), network("2001:db8:1::1")
    assert inside is not None
    assert other is not None
    assert (inside.asn, other.asn) == (64500, 64501)
    assert network("192.0.3.0") is None
    assert network("2001:db9::") is None
    assert network("198.51.100.1") is None


def test_names_and_countries_are_kept_where_the_form_has_them(tmp_path: Path) -> None:
    path = tmp_path / "table"
    path.write_text(FORMS["iptoasn"])
    assert network_lookup(path)("192.0.2.1") == Network(64500, "EXAMPLE", "GB")
    path.write_text(FORMS["csv with a header and names"])
    assert network_lookup(path)("192.0.2.1") == Network(64500, "Example, Inc.", None)


def test_gzip_is_unpacked_on_the_way(tmp_path: Path) -> None:
    path = tmp_path / "table.gz"
    path.write_bytes(gzip.compress(FORMS["pyasn"].encode()))
    assert network_lookup(path)("192.0.2.1") == Network(64500)


def test_the_most_specific_prefix_wins_and_the_wider_one_holds_around_it(tmp_path: Path) -> None:
    path = tmp_path / "table"
    path.write_text("10.0.0.0/8,1\n10.1.0.0/16,2\n10.1.2.0/24,3\n10.1.2.3/32,4\n0.0.0.0/0,9\n")
    network = network_lookup(path)
    found = [
        network(address)
        for address in ("10.1.2.3", "10.1.2.4", "10.1.3.0", "10.2.0.0", "11.0.0.0", "255.255.255.255")
    ]
    assert [each.asn for each in found if each] == [4, 3, 2, 1, 9, 9]


def test_of_two_equal_prefixes_the_first_line_counts(tmp_path: Path) -> None:
    path = tmp_path / "table"
    path.write_text("192.0.2.0/24,64500\n192.0.2.0/24,64501\n")
    assert network_lookup(path)("192.0.2.1") == Network(64500)


def test_bad_lines_are_told_by_number_and_skipped() -> None:
    skipped: list[Skipped] = []
    lines = [
        "prefix,asn",
        "192.0.2.0/24,64500",
        "rubbish",
        "300.0.0.0/8,1",
        "192.0.2.0/33,1",
        "10.0.0.0/8,x",
        "",
    ]
    assert [each.value for each in asn_ranges(lines, skipped)] == ["64500\t\t"]
    assert [each.line for each in skipped] == [3, 4, 5, 6]


def test_a_file_without_one_good_line_is_an_error_that_says_what_was_expected(tmp_path: Path) -> None:
    path = tmp_path / "table"
    path.write_text("nothing\nof use\n")
    with pytest.raises(SourceError, match=r"line 1.*Expected lines like"):
        compile_asn(path)
    with pytest.raises(
        SourceError, match=r"cannot read .*absent: No such file or directory\. Check the path"
    ):
        network_lookup(tmp_path / "absent")
    path.write_bytes(b"\x1f\x8b\x08 not gzip")
    with pytest.raises(SourceError, match="cannot be read"):
        network_lookup(path)


def test_a_compiled_table_answers_the_same_from_its_file(tmp_path: Path) -> None:
    text, table = tmp_path / "text", tmp_path / "table"
    text.write_text(FORMS["iptoasn"])
    image, skipped = compile_asn(text)
    table.write_bytes(image)
    assert skipped == []
    assert network_lookup(table)("2001:db8::1") == Network(64501, "OTHER", "DE")
    assert RangeTable.open(table).entries == 2


def test_ipv4_written_as_ipv6_is_ipv4(tmp_path: Path) -> None:
    path = tmp_path / "table"
    path.write_text(FORMS["pyasn"])
    assert network_lookup(path)("::ffff:192.0.2.1") == Network(64500)


@pytest.mark.parametrize(
    "text", ["", "x", "1.2.3", "1.2.3.4.5", "fe80::1%eth0", "999999999999999999999999999999999999999999"]
)
def test_what_is_no_address_belongs_to_nobody(text: str) -> None:
    assert (
        RangeTable(compiled([prefix_range("::/0", "all"), prefix_range("0.0.0.0/0", "all")])).value(text)
        is None
    )


@pytest.mark.parametrize("cut", [0, 7, 20, 60, -1])
def test_a_damaged_table_is_refused(cut: int, tmp_path: Path) -> None:
    path = tmp_path / "table"
    path.write_bytes(compiled([prefix_range("192.0.2.0/24", "x" * 64)])[:cut])
    with pytest.raises(SourceError):
        RangeTable.open(path)


def test_an_empty_table_knows_nothing() -> None:
    assert RangeTable(compiled([])).value("192.0.2.1") is None


def test_ranges_that_are_none_are_refused() -> None:
    for first, last in (("192.0.2.9", "192.0.2.1"), ("192.0.2.1", "2001:db8::"), ("x", "y")):
        with pytest.raises(Invalid):
            span_range(first, last, "")
    for prefix in ("192.0.2.0/-1", "192.0.2.0/x", "x/24", "2001:db8::/129"):
        with pytest.raises(Invalid):
            prefix_range(prefix, "")
