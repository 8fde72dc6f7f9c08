"""`nettrace databases`: what this host knows about addresses, where it is from and under which licence."""

from collections.abc import Sequence
from pathlib import Path

import click

from nettrace.cli.output import FORMATS, Document, Emitter, note

_KINDS = click.Choice(["asn", "city", "ixp"])
_folder = click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    envvar="NETTRACE_DATABASES",
    help="Default: $XDG_DATA_HOME/nettrace/databases.",
)
_output = click.option(
    "-o", "--output", type=click.Choice(FORMATS), help="Default: table on a terminal, ndjson in a pipe."
)


@click.group("databases")
def command() -> None:
    """AS, place and exchange databases: optional, fetched by command, each with its licence.

    asn: who announces an address. city: where it probably stands. ixp: peering LANs of exchange points.
    """


@command.command("list")
@_folder
@_output
def list_(folder: Path | None, output: str | None) -> None:
    """Show what is installed, with source, licence and date."""
    from nettrace.outside.databases import KINDS, default_folder, installed

    found = {each.kind: each for each in installed(folder or default_folder())}
    emitter = Emitter(output, _View())
    for kind in KINDS:
        emitter.emit(_document(kind, found.get(kind)))
    emitter.close()


@command.command("sources")
@_output
def sources(output: str | None) -> None:
    """Show what `update` can fetch, with licences."""
    from nettrace.outside.databases import SOURCES

    emitter = Emitter(output, _SourceView())
    for each in SOURCES:
        emitter.emit({"schema": "nettrace.database_source/1", **each._asdict()})
    emitter.close()


@command.command("update")
@click.argument("names", nargs=-1, metavar="[SOURCE|KIND]...")
@click.option("--from", "url", metavar="URL", help="Fetch from here instead; needs one KIND and --licence.")
@click.option("--licence", help="The licence the publisher states, kept beside the data.")
@_folder
@_output
def update(
    names: Sequence[str], url: str | None, licence: str | None, folder: Path | None, output: str | None
) -> None:
    """Fetch databases: those named, or anew those that were fetched before.

    Nothing is fetched unless this command is given. See `nettrace databases sources` for names and licences.
    """
    from nettrace.outside.databases import default_folder, installed, source
    from nettrace.outside.databases import update as fetch

    place = folder or default_folder()
    if url is not None:
        if len(names) != 1 or not licence:
            raise click.UsageError("--from needs one KIND (asn, city, ixp) and --licence.")
        plan = [(names[0], url, licence)]
    elif names:
        plan = [(each.kind, each.url, each.licence) for each in map(source, names)]
    else:
        plan = [(each.kind, each.source, each.licence) for each in installed(place) if "://" in each.source]
        if not plan:
            raise click.UsageError(
                "Nothing was fetched before: name a source (see 'nettrace databases sources')."
            )
    emitter = Emitter(output, _View())
    for kind, address, terms in plan:
        note(f"{kind}: {address}\n  licence: {terms}")
        change = fetch(place, kind, address, terms)
        if not change.fresh:
            note(f"{kind}: nothing new")
        _remark(change.skipped)
        emitter.emit(_document(kind, change.database))
    emitter.close()


@command.command("add")
@click.argument("kind", type=_KINDS)
@click.argument(
    "files", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True, dir_okay=False)
)
@click.option("--licence", default="not stated", show_default=True, help="Under which terms you have it.")
@_folder
@_output
def add(kind: str, files: Sequence[Path], licence: str, folder: Path | None, output: str | None) -> None:
    """Install a database from FILES you have: CSV, pyasn, riswhois, iptoasn, MMDB; PeeringDB's JSON for ixp."""
    from nettrace.outside.databases import add as install
    from nettrace.outside.databases import default_folder

    origin = ", ".join(str(file.resolve()) for file in files)
    change = install(folder or default_folder(), kind, files, origin, licence)
    _remark(change.skipped)
    emitter = Emitter(output, _View())
    emitter.emit(_document(kind, change.database))
    emitter.close()


@command.command("remove")
@click.argument("kind", type=_KINDS)
@_folder
def remove(kind: str, folder: Path | None) -> None:
    """Delete a database."""
    from nettrace.outside.databases import default_folder
    from nettrace.outside.databases import remove as delete

    gone = delete(folder or default_folder(), kind)
    note(f"{kind}: {'removed' if gone else 'was not installed'}")


@command.command("lookup")
@click.argument("addresses", nargs=-1, required=True, metavar="ADDRESS...")
@_folder
@_output
def lookup(addresses: Sequence[str], folder: Path | None, output: str | None) -> None:
    """Show what is known about each ADDRESS."""
    from nettrace.outside.databases import default_folder, open_lookups

    known = open_lookups(folder or default_folder())
    emitter = Emitter(output, _AddressView())
    for address in addresses:
        network = known.network(address)
        place = known.exchange(address) or known.database(address)
        emitter.emit(
            {
                "schema": "nettrace.address/1",
                "address": address,
                "asn": network.asn if network else None,
                "as_name": network.name if network else None,
                "place": place.name if place else None,
                "country": place.country if place else None,
                "radius_km": place.radius_km if place else None,
                "evidence": place.evidence if place else None,
            }
        )
    emitter.close()


def _document(kind: str, database: object) -> Document:
    import msgspec

    fields: Document = {} if database is None else msgspec.to_builtins(database)
    return {"schema": "nettrace.database/1", "kind": kind, "installed": database is not None, **fields}


def _remark(skipped: Sequence[tuple[int, str]]) -> None:
    for line, why in skipped[:5]:
        note(f"  line {line} skipped: {why}")
    if len(skipped) > 5:
        note(f"  and {len(skipped) - 5} more lines skipped")


class _View:
    """One installed database, or that there is none."""

    fields = ("kind", "installed", "entries", "bytes", "installed_at", "source", "licence", "skipped")

    def heading(self) -> str | None:
        """Nothing: each line names its kind."""
        return None

    def lines(self, document: Document) -> Sequence[str]:
        """Two lines for what is there, one for what is not."""
        if not document["installed"]:
            return [f"{document['kind']:5} none (nettrace databases update {document['kind']})"]
        entries = "" if document["entries"] is None else f"{document['entries']:,} ranges, "
        return [
            f"{document['kind']:5} {entries}{document['bytes'] / 1e6:.1f} MB, of {document['installed_at'][:10]}",
            f"      {document['source']}; licence: {document['licence']}",
        ]


class _SourceView:
    """One published source."""

    fields = ("name", "kind", "url", "licence")

    def heading(self) -> str | None:
        """Nothing."""
        return None

    def lines(self, document: Document) -> Sequence[str]:
        """Name and kind, address, licence."""
        return [
            f"{document['name']:10} {document['kind']:5} {document['url']}",
            f"{'':17}{document['licence']}",
        ]


class _AddressView:
    """What is known about one address."""

    fields = ("address", "asn", "as_name", "place", "country", "radius_km", "evidence")

    def heading(self) -> str | None:
        """Nothing."""
        return None

    def lines(self, document: Document) -> Sequence[str]:
        """One line."""
        network = f"AS{document['asn']} {document['as_name'] or ''}".strip() if document["asn"] else "-"
        place = (
            f"{document['place']} +-{document['radius_km']:g} km ({document['evidence']})"
            if document["place"]
            else "-"
        )
        return [f"{document['address']:39} {network:30} {place}"]
