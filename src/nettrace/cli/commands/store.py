"""`nettrace store`: check, back up and restore a hub's data folder."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nettrace.cli.exits import FAILED
from nettrace.cli.folder import data_option
from nettrace.cli.output import FORMATS, Document, Emitter, note

if TYPE_CHECKING:
    from nettrace.store.embedded.keeping import Manifest

_output = click.option(
    "-o", "--output", type=click.Choice(FORMATS), help="Default: table on a terminal, ndjson in a pipe."
)


@click.group("store")
def command() -> None:
    """Check, back up and restore a hub's data folder. A running hub goes on meanwhile."""


@command.command("check")
@data_option
@_output
def check(data: Path | None, output: str | None) -> None:
    """Look for damage: the database's pages and facts, and each sealed day against its checksum. Exit 1 when there is."""
    from nettrace.hub.place import Data, default_folder
    from nettrace.store.embedded.integrity import check_folder

    place = Data(data or default_folder())
    emitter = Emitter(output, _FaultView())
    found = check_folder(place.folder)
    for fault in found:
        emitter.emit(
            {"schema": "nettrace.fault/1", "where": fault.where, "what": fault.what, "remedy": fault.remedy}
        )
    emitter.close()
    note(f"{place.folder}: {f'{len(found)} faults' if found else 'sound'}")
    if found:
        raise click.exceptions.Exit(FAILED)


@command.command("backup")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@data_option
@_output
def backup(folder: Path, data: Path | None, output: str | None) -> None:
    """Write a consistent copy into the new FOLDER, with a manifest of checksums. The hub may run."""
    from nettrace.hub.place import Data, default_folder
    from nettrace.store.embedded.keeping import write_backup

    _tell(write_backup(Data(data or default_folder()).folder, folder), folder, output)


@command.command("restore")
@click.argument("backup", type=click.Path(path_type=Path, file_okay=False, exists=True))
@data_option
@_output
def restore_(backup: Path, data: Path | None, output: str | None) -> None:
    """Make a data folder from BACKUP. --data names a folder without a store; BACKUP stays as it is."""
    from nettrace.hub.place import Data, default_folder
    from nettrace.store.embedded.keeping import restore

    place = Data(data or default_folder())
    _tell(restore(backup, place.folder), place.folder, output)


def _tell(manifest: "Manifest", folder: Path, output: str | None) -> None:
    from nettrace.model.instant import rfc3339

    emitter = Emitter(output, _BackupView())
    emitter.emit(
        {
            "schema": "nettrace.backup/1",
            "folder": str(folder),
            "made_at": rfc3339(manifest.made_at),
            "files": len(manifest.files),
            "bytes": sum(each.bytes for each in manifest.files),
            "head": manifest.head,
        }
    )
    emitter.close()


class _FaultView:
    """One fault."""

    fields = ("where", "what", "remedy")

    def heading(self) -> str | None:
        """Nothing."""
        return None

    def lines(self, document: Document) -> Sequence[str]:
        """What is wrong, and below it what mends it."""
        return [f"{document['where']}: {document['what']}", f"    {document['remedy']}"]


class _BackupView:
    """What a backup holds."""

    fields = ("folder", "made_at", "files", "bytes", "head")

    def heading(self) -> str | None:
        """Nothing."""
        return None

    def lines(self, document: Document) -> Sequence[str]:
        """One line."""
        size = f"{document['bytes'] / 1e6:.1f} MB in {document['files']} files"
        return [f"{document['folder']}: {size}, as of {document['made_at']}"]
