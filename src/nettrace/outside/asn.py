"""Which network announces an address, from tables other people publish.

Read: CSV `prefix,asn[,name]`; `prefix<TAB>asn` (pyasn, RouteViews) and `prefix<TAB>length<TAB>asn` (CAIDA
pfx2as); RIPE riswhois dumps `asn<TAB>prefix<TAB>peers`; iptoasn.com's `first<TAB>last<TAB>asn<TAB>country<TAB>name`;
MMDB files with autonomous systems (needs the extra `geo`). Plain or gzipped.
"""

import csv
import gzip
import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from nettrace.analysis.geo.annotate import Network
from nettrace.errors import Invalid, SourceError
from nettrace.outside.mmdb import is_mmdb, open_mmdb, text_of
from nettrace.outside.ranges import MAGIC, Range, RangeTable, compiled, prefix_range, span_range
from nettrace.runtime.named_file import unreadable

_ASN = re.compile(r"(?:AS)?(\d{1,10})", re.IGNORECASE)
_NOT_ROUTED = 0


class Skipped(NamedTuple):
    """A line that could not be read, by its number from 1."""

    line: int
    why: str


def network_lookup(path: Path) -> Callable[[str], Network | None]:
    """A function from address to network, over a table of any form named above.

    Raises:
        SourceError: the file cannot be read, or not one line of it is understood.
    """
    if is_mmdb(path):
        return _mmdb_lookup(path)
    table = _table(path)

    def network(address: str) -> Network | None:
        value = table.value(address)
        return None if value is None else _network(value)

    return network


def asn_ranges(lines: Iterable[str], skipped: list[Skipped] | None = None) -> Iterator[Range]:
    r"""The ranges of a text table, line by line; lines not understood are added to `skipped`.

    >>> next(asn_ranges(["192.0.2.0/24,64500,Example"])).value
    '64500\t\tExample'
    >>> next(asn_ranges(["64500\t2001:db8::/32\t120"])).value
    '64500\t\t'
    """
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if not text or text[0] in "#;%":
            continue
        try:
            found = _range(text)
        except Invalid as problem:
            if skipped is not None and not (number == 1 and "prefix" in text.lower()):
                skipped.append(Skipped(number, problem.detail))
            continue
        if found is not None:
            yield found


def compile_asn(path: Path) -> tuple[bytes, list[Skipped]]:
    """A text table as a compiled one, with the lines that were skipped.

    Raises:
        SourceError: the file cannot be read, or not one line of it is understood.
    """
    skipped: list[Skipped] = []
    image = compiled(asn_ranges(read_lines(path), skipped))
    if RangeTable(image).entries == 0:
        first = f"; line {skipped[0].line}: {skipped[0].why}" if skipped else ""
        raise SourceError(
            f"{path} holds no prefixes with AS numbers{first}", "Expected lines like 192.0.2.0/24,64500,NAME"
        )
    return image, skipped


def read_lines(path: Path) -> Iterator[str]:
    """The lines of a text file, plain or gzipped, one at a time.

    Raises:
        SourceError: the file cannot be read.
    """
    try:
        with path.open("rb") as raw:
            gzipped = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            stream = gzip.GzipFile(fileobj=raw) if gzipped else raw
            for line in stream:
                yield line.decode("utf-8", "replace")
    except (gzip.BadGzipFile, EOFError, zlib.error) as problem:
        raise SourceError(f"{path} cannot be read ({problem})", "Fetch it again") from problem
    except OSError as problem:
        raise unreadable(str(path), problem, error=SourceError) from problem


def _table(path: Path) -> RangeTable:
    try:
        with path.open("rb") as file:
            magic = file.read(len(MAGIC))
    except OSError as problem:
        raise unreadable(str(path), problem, error=SourceError) from problem
    return RangeTable.open(path) if magic == MAGIC else RangeTable(compile_asn(path)[0], str(path))


def _network(value: str) -> Network:
    asn, country, name = value.split("\t", 2)
    return Network(int(asn), name or None, country or None)


def _range(text: str) -> Range | None:
    """One line in any of the forms; None for a range that is announced by nobody."""
    fields = [field.strip() for field in (text.split("\t") if "\t" in text else next(csv.reader([text])))]
    if len(fields) == 1:
        fields = text.split()
    match fields:
        case [prefix, asn, *name] if "/" in prefix:
            return _made(prefix_range(prefix, ""), asn, "", _first(name))
        case [asn, prefix, *_] if "/" in prefix:
            return _made(prefix_range(prefix, ""), asn, "", "")
        case [first, last, asn, country, name, *_] if _is_address(first) and _is_address(last):
            return _made(span_range(first, last, ""), asn, country, name)
        case [prefix, length, asn, *_] if _is_address(prefix) and length.isdigit():
            return _made(prefix_range(f"{prefix}/{length}", ""), asn, "", "")
        case _:
            raise Invalid(f"no prefix and AS number in {text[:60]!r}")


def _made(found: Range, asn: str, country: str, name: str) -> Range | None:
    number = _origin(asn)
    if number == _NOT_ROUTED:
        return None
    code = country.upper() if len(country) == 2 and country.isalpha() else ""
    return found._replace(value=f"{number}\t{code}\t{' '.join(name.split())}")


def _origin(text: str) -> int:
    """The AS number; of several origins (`64500_64501`, `{64500,64501}`, `64500,64501`) the first."""
    match = _ASN.match(text.lstrip("{ "))
    if match is None or int(match[1]) > 0xFFFFFFFF:
        raise Invalid(f"no AS number in {text[:40]!r}")
    return int(match[1])


def _first(fields: list[str]) -> str:
    return fields[0] if fields else ""


def _is_address(text: str) -> bool:
    return ":" in text or text.count(".") == 3


def _mmdb_lookup(path: Path) -> Callable[[str], Network | None]:
    read = open_mmdb(path)

    def network(address: str) -> Network | None:
        record = read(address)
        number = record.get("autonomous_system_number") or record.get("asn")
        match = _ASN.fullmatch(str(number)) if number is not None else None
        if match is None:
            return None
        name = text_of(record, "autonomous_system_organization") or text_of(record, "as_name")
        return Network(int(match[1]), name, text_of(record, "country_code"))

    return network
