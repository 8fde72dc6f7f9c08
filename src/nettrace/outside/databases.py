"""The AS, place and exchange databases on this host: fetched or added by command, each with source and licence.

None ships with NetTrace and none is needed: without one a trace has no AS numbers. Three kinds:
`asn` (who announces a prefix), `city` (where an address stands), `ixp` (peering LANs). They live in
`$XDG_DATA_HOME/nettrace/databases` as one table each, with what is known about it beside it in JSON.
"""

import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import msgspec

from nettrace.analysis.geo.annotate import Lookups
from nettrace.analysis.geo.hints import hinted_place
from nettrace.errors import Invalid, SourceError
from nettrace.model.instant import Instant, rfc3339
from nettrace.model.path import Place
from nettrace.outside.asn import Skipped, compile_asn, network_lookup
from nettrace.outside.exchanges import compile_exchanges, exchange_lookup
from nettrace.outside.geoip import compile_places, place_lookup
from nettrace.outside.hints import router_codes
from nettrace.outside.mmdb import is_mmdb, open_mmdb
from nettrace.outside.places import country_circle
from nettrace.outside.ranges import RangeTable

KINDS = ("asn", "city", "ixp")


class Source(NamedTuple):
    """Where a kind of database is published.

    Attributes:
        url: `{year}` and `{month}` stand for the date of the fetch.
        licence: as the publisher states it.
    """

    name: str
    kind: str
    url: str
    licence: str


SOURCES = (
    Source("iptoasn", "asn", "https://iptoasn.com/data/ip2asn-combined.tsv.gz", "PDDL 1.0 (public domain)"),
    Source(
        "dbip-city",
        "city",
        "https://download.db-ip.com/free/dbip-city-lite-{year}-{month}.mmdb.gz",
        "CC BY 4.0; show 'IP Geolocation by DB-IP' with a link to https://db-ip.com",
    ),
    Source(
        "dbip-asn",
        "asn",
        "https://download.db-ip.com/free/dbip-asn-lite-{year}-{month}.mmdb.gz",
        "CC BY 4.0; show 'IP Geolocation by DB-IP' with a link to https://db-ip.com",
    ),
)
"""Published databases that may be fetched without an account. PeeringDB's may not be passed on: add your own copy."""


class Installed(msgspec.Struct, frozen=True, kw_only=True):
    """A database on this host.

    Attributes:
        entries: ranges that have an answer; None for an MMDB file, which does not count them.
        skipped: lines of the source that could not be read.
        etag, last_modified: what the server said, to ask later whether anything is new.
    """

    kind: str
    file: str
    source: str
    licence: str
    installed_at: str
    bytes: int
    sha256: str
    entries: int | None
    skipped: int = 0
    etag: str | None = None
    last_modified: str | None = None


class Change(NamedTuple):
    """What an installation did: `fresh` is False when the server had nothing new."""

    database: Installed
    fresh: bool
    skipped: Sequence[Skipped]


def default_folder() -> Path:
    """`$XDG_DATA_HOME/nettrace/databases`, or the same below `~/.local/share`."""
    base = os.environ.get("XDG_DATA_HOME")
    return (Path(base) if base else Path.home() / ".local/share") / "nettrace/databases"


def source(name: str) -> Source:
    """The published source of that name, or the first of that kind.

    Raises:
        Invalid: there is none.
    """
    for each in SOURCES:
        if name in (each.name, each.kind):
            return each
    if name == "ixp":
        raise Invalid(
            "no exchange point data may be fetched for you",
            "Save PeeringDB's ix and ixpfx JSON and run: nettrace databases add ixp ix.json ixpfx.json",
        )
    names = ", ".join(each.name for each in SOURCES)
    raise Invalid(f"no database source {name!r}", f"Known: {names}; or name one with --from")


def installed(folder: Path) -> list[Installed]:
    """What is on this host, by kind.

    Raises:
        SourceError: a description is damaged.
    """
    found: list[Installed] = []
    for kind in KINDS:
        path = folder / f"{kind}.json"
        try:
            if not path.exists():
                continue
        except PermissionError:
            continue  # another user's folder (HOME came along through su or setpriv): nothing of ours is there
        try:
            found.append(msgspec.json.decode(path.read_bytes(), type=Installed))
        except (OSError, msgspec.DecodeError) as problem:
            raise SourceError(
                f"{path} cannot be read ({problem})", f"Run: nettrace databases remove {kind}"
            ) from problem
    return found


def add(folder: Path, kind: str, files: Sequence[Path], origin: str, licence: str) -> Change:
    """Install a database of `kind` from files on this host; only `ixp` takes several.

    Raises:
        SourceError: the files are not what they should be; what was installed before stays.
        Invalid: unknown kind, or several files where one is meant.
    """
    return _install(folder, kind, files, _Origin(origin, licence))


def update(folder: Path, kind: str, url: str, licence: str, *, now: Instant | None = None) -> Change:
    """Fetch a database from `url` and install it; when the server has nothing new, keep what is there.

    Raises:
        SourceError: it cannot be fetched or read; what was installed before stays.
    """
    from nettrace.outside.download import fetch  # noqa: PLC0415 - every trace opens databases, none fetches one

    _check_kind(kind)
    day = datetime.fromtimestamp((now or time.time_ns()) / 1e9, UTC)
    url = url.replace("{year}", f"{day:%Y}").replace("{month}", f"{day:%m}")
    before = next((each for each in installed(folder) if each.kind == kind and each.source == url), None)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".fetch-") as room:
        target = Path(room) / "fetched"
        answer = fetch(
            url, target, etag=before.etag if before else None, since=before.last_modified if before else None
        )
        if answer is None:
            if before is None:
                raise SourceError(f"{url} says nothing is new, yet nothing is here", "Try again")
            return Change(before, fresh=False, skipped=())
        origin = _Origin(url, licence, answer.etag, answer.last_modified)
        return _install(folder, kind, [target], origin)


def remove(folder: Path, kind: str) -> bool:
    """Delete a database; False when there was none."""
    _check_kind(kind)
    there = False
    for path in (folder / f"{kind}.json", folder / f"{kind}.table", folder / f"{kind}.mmdb"):
        there = there or path.exists()
        path.unlink(missing_ok=True)
    return there


def open_lookups(
    folder: Path | None = None,
    *,
    asn: Path | None = None,
    city: Path | None = None,
    ixp: Path | None = None,
    names: dict[str, str] | None = None,
) -> Lookups:
    """Everything this host knows about addresses, for `analysis.geo.annotate`.

    A file named for a kind is used as it is instead of the installed one. What is not there answers None.

    Raises:
        SourceError: a database is damaged.
        MissingExtra: an MMDB file without the package to read it.
    """
    here = folder or default_folder()
    paths = {each.kind: here / each.file for each in installed(here)}
    paths.update(
        {kind: path for kind, path in (("asn", asn), ("city", city), ("ixp", ixp)) if path is not None}
    )
    found = Lookups(names=names or {}, hint=_hint, country=country_circle)
    if "asn" in paths:
        found = msgspec.structs.replace(found, network=network_lookup(paths["asn"]))
    if "city" in paths:
        found = msgspec.structs.replace(found, database=place_lookup(paths["city"]))
    if "ixp" in paths:
        found = msgspec.structs.replace(found, exchange=exchange_lookup(paths["ixp"]))
    return found


class _Origin(NamedTuple):
    url: str
    licence: str
    etag: str | None = None
    last_modified: str | None = None


def _hint(name: str) -> Place | None:
    return hinted_place(name, router_codes())


def _check_kind(kind: str) -> None:
    if kind not in KINDS:
        raise Invalid(f"no kind of database is called {kind!r}", f"Kinds: {', '.join(KINDS)}")


def _install(folder: Path, kind: str, files: Sequence[Path], origin: _Origin) -> Change:
    _check_kind(kind)
    if not files or (kind != "ixp" and len(files) != 1):
        raise Invalid(f"a database of kind {kind} is made of one file", "Name one file")
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".make-") as room:
        made = Path(room) / "made"
        suffix, entries, skipped = _make(kind, files, made)
        described = Installed(
            kind=kind,
            file=f"{kind}.{suffix}",
            source=origin.url,
            licence=origin.licence,
            installed_at=rfc3339(time.time_ns()),
            bytes=made.stat().st_size,
            sha256=_digest(made),
            entries=entries,
            skipped=len(skipped),
            etag=origin.etag,
            last_modified=origin.last_modified,
        )
        about = Path(room) / "about"
        about.write_bytes(msgspec.json.format(msgspec.json.encode(described)))
        made.replace(folder / described.file)
        about.replace(folder / f"{kind}.json")
    other = folder / f"{kind}.{'table' if suffix == 'mmdb' else 'mmdb'}"
    other.unlink(missing_ok=True)
    return Change(described, fresh=True, skipped=skipped)


def _make(kind: str, files: Sequence[Path], made: Path) -> tuple[str, int | None, Sequence[Skipped]]:
    """Write what is to be installed to `made`: file name suffix, entries, skipped lines."""
    if kind != "ixp" and is_mmdb(files[0]):
        open_mmdb(files[0])
        shutil.copyfile(files[0], made)
        return "mmdb", None, ()
    match kind:
        case "asn":
            image, skipped = compile_asn(files[0])
        case "city":
            image, skipped = compile_places(files[0])
        case _:
            image, skipped = compile_exchanges(files)
    made.write_bytes(image)
    return "table", RangeTable(image).entries, skipped


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
