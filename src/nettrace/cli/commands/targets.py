"""`nettrace targets`: what is watched, and adding to it."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nettrace.cli.folder import data_option
from nettrace.cli.output import FORMATS, Document, Emitter, note
from nettrace.errors import ConfigError, NotFound

if TYPE_CHECKING:
    from nettrace.model.target import Target

_WATCHED = ("active", "unverified")
_output = click.option(
    "-o", "--output", type=click.Choice(FORMATS), help="Default: table on a terminal, ndjson in a pipe."
)


@click.group("targets")
def command() -> None:
    """What is watched: the built-in catalogue, and your own beside it."""


@command.command("list")
@click.option("--category", help="Only this one.")
@click.option("--all", "everything", is_flag=True, help="The retired and renamed ones too.")
@click.option("-f", "--file", help="Show this file instead of the hub's targets.")
@_output
@data_option
def list_(
    category: str | None, everything: bool, file: str | None, output: str | None, data: Path | None
) -> None:
    """Show the hub's targets; without a hub, the built-in catalogue."""
    emitter = Emitter(output, _View())
    for target in _targets(file, data):
        if (everything or target.lifecycle in _WATCHED) and category in {
            None,
            target.category,
        }:
            emitter.emit(_document(target))
    emitter.close()


@command.command("add")
@click.argument("host")
@click.option("--name", help="What people call it. Default: HOST.")
@click.option("--category", default="Mine", show_default=True)
@click.option("--url", help="Also ask for this: https:// or wss://.")
@data_option
def add(host: str, name: str | None, category: str, url: str | None, data: Path | None) -> None:
    """Watch HOST too; a running hub tells its nodes within seconds. More than one endpoint: use a file."""
    from urllib.parse import urlsplit

    from nettrace.catalogue.load import plain_target
    from nettrace.catalogue.rule import findings
    from nettrace.hub.open import folder_of, writer

    target = plain_target(host.lower(), name, category, url)
    if url and urlsplit(url).port:
        import msgspec

        endpoint = msgspec.structs.replace(target.endpoints[0], port=urlsplit(url).port)
        target = msgspec.structs.replace(target, endpoints=(endpoint,))
    wrong = [finding.what for finding in findings([target]) if finding.wrong]
    if wrong:
        raise ConfigError(f"{host}: {'; '.join(wrong)}")
    with writer(folder_of(data)) as store:
        store.put_targets([target], time.time_ns())
    note(f"nettrace: {target.host} is watched ({', '.join(target.endpoints[0].methods)})")


@command.command("remove")
@click.argument("host")
@data_option
def remove(host: str, data: Path | None) -> None:
    """Stop watching HOST. What was measured stays."""
    from nettrace.hub.open import folder_of, open_reader, writer

    place = folder_of(data)
    with writer(place) as store:
        reader = open_reader(place)
        try:
            if host not in {target.host for target in reader.targets() if target.lifecycle in _WATCHED}:
                raise NotFound(f"'{host}' is not watched here", "`nettrace targets list` shows what is")
        finally:
            reader.close()
        store.drop_target(host, time.time_ns())
    note(f"nettrace: {host} is watched no more; its history stays")


@command.command("import")
@click.argument("file")
@data_option
def import_(file: str, data: Path | None) -> None:
    """Watch every target of a TOML FILE too; one that is there already is replaced."""
    from nettrace.catalogue.load import read_file
    from nettrace.hub.open import folder_of, writer

    targets = read_file(file)
    with writer(folder_of(data)) as store:
        store.put_targets(targets, time.time_ns())
    note(f"nettrace: {len(targets)} targets of {file} are watched")


@command.command("check")
@click.argument("file", required=False)
def check(file: str | None) -> None:
    """Say what is wrong or doubtful in a list of targets; the built-in one without FILE. Exit 2 when it is wrong."""
    from nettrace.catalogue.load import built_in, read_file
    from nettrace.catalogue.rule import findings

    targets = read_file(file) if file else built_in()
    for finding in findings(targets):
        click.echo(f"{finding.target}: {finding.what}")
    note(f"nettrace: {len(targets)} targets, nothing wrong")


def _targets(file: str | None, data: Path | None) -> "list[Target]":
    from nettrace.catalogue.load import built_in, read_file
    from nettrace.hub.open import folder_of, open_reader

    if file:
        return read_file(file)
    place = folder_of(data)
    if not place.database.exists():
        return built_in()
    reader = open_reader(place)
    try:
        return reader.targets()
    finally:
        reader.close()


def _document(target: "Target") -> Document:
    import msgspec

    built: Document = msgspec.to_builtins(target)
    return {
        "schema": "nettrace.target/1",
        "lifecycle": target.lifecycle,
        "replaced_by": target.replaced_by,
        **built,
    }


class _View:
    """A target and the ways to it."""

    fields = ("host", "name", "category", "lifecycle", "replaced_by", "note", "source")

    def heading(self) -> str | None:
        """The columns."""
        return click.style(f"{'HOST':<32} {'NAME':<26} {'CATEGORY':<18} WAYS IN", bold=True)

    def lines(self, document: Document) -> Sequence[str]:
        """The target's row; what is not active says so."""
        ways = ", ".join(f"{way['name']} ({way['role']})" for way in document["endpoints"])
        state = (
            ""
            if document["lifecycle"] == "active"
            else click.style(f"{document['lifecycle']}: ", fg="yellow")
        )
        return [
            f"{document['host']:<32} {document['name'][:26]:<26} {document['category']:<18} {state}{ways}"
        ]
