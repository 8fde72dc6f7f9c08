"""`nettrace keys`: API keys are made, listed, changed and revoked here, whether the hub runs or not."""

import time
from collections.abc import Sequence
from pathlib import Path

import click

from nettrace.cli.folder import data_option
from nettrace.cli.output import FORMATS, Document, Emitter, note

_SCOPES = ("read", "measure", "targets", "keys", "fleet")
_output = click.option(
    "-o", "--output", type=click.Choice(FORMATS), help="Default: table on a terminal, ndjson in a pipe."
)


@click.group("keys")
def command() -> None:
    """API keys of this hub.

    The first key ends single-user mode: from then on every request to /api needs one.
    """


@command.command("create")
@click.option(
    "--tier",
    required=True,
    help="What it holds: free, pro, enterprise, enterprise_pro, government, or your own.",
)
@click.option(
    "--account", default="default", show_default=True, help="Whose it is; calls are counted by account."
)
@click.option("--name", default="", help="A word to tell it by.")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    type=click.Choice(_SCOPES),
    help="Repeatable; read unless said. Fixed for its life.",
)
@click.option(
    "--test", is_flag=True, help="An nt_test_ key: the tier 'test', never billed, for writing code against."
)
@click.option(
    "--expires", "days", type=click.FloatRange(min=0, min_open=True), metavar="DAYS", help="Default: never."
)
@data_option
def create(
    tier: str,
    account: str,
    name: str,
    scopes: Sequence[str],
    test: bool,
    days: float | None,
    data: Path | None,
) -> None:
    """Make a key and print it, once: only its hash is kept."""
    from nettrace.hub import keyring
    from nettrace.hub.open import folder_of, writer

    place = folder_of(data)
    with writer(place) as store:
        made = keyring.create(
            store, keyring.tiers_of(place), keyring.Wanted(tier=tier, account=account, name=name, scopes=tuple(scopes), live=not test, days=days), time.time_ns()
        )  # fmt: skip
    note(f"nettrace: {made.key.id}, tier {tier}, account {account}; it is shown this once")
    click.echo(made.secret)


@command.command("list")
@click.option("--account", help="Only this account's.")
@_output
@data_option
def list_(account: str | None, output: str | None, data: Path | None) -> None:
    """Show the keys there are, never the keys themselves."""
    from nettrace.hub.keyring import key_document
    from nettrace.hub.open import folder_of, open_reader

    reader = open_reader(folder_of(data))
    try:
        emitter = Emitter(output, _View())
        for key in reader.keys(account):
            emitter.emit(key_document(key, time.time_ns()))
        emitter.close()
    finally:
        reader.close()


@command.command("revoke")
@click.argument("id", metavar="KEY_ID")
@data_option
def revoke(id: str, data: Path | None) -> None:  # noqa: A002
    """Make a key worthless everywhere, at once and for ever."""
    from nettrace.hub import keyring
    from nettrace.hub.open import folder_of, open_reader, writer

    place = folder_of(data)
    with writer(place) as store:
        reader = open_reader(place)
        try:
            keyring.revoke(store, reader, id, time.time_ns())
        finally:
            reader.close()
    note(f"nettrace: {id} is revoked")


@command.command("change")
@click.argument("id", metavar="KEY_ID")
@click.option("--tier", required=True, help="What it holds from now on.")
@data_option
def change(id: str, tier: str, data: Path | None) -> None:  # noqa: A002
    """Give a key another tier; it holds from the next call on."""
    from nettrace.hub import keyring
    from nettrace.hub.open import folder_of, open_reader, writer

    place = folder_of(data)
    with writer(place) as store:
        reader = open_reader(place)
        try:
            keyring.change(store, reader, keyring.tiers_of(place), (id, tier), time.time_ns())
        finally:
            reader.close()
    note(f"nettrace: {id} has the tier {tier}")


@command.command("rotate")
@click.argument("id", metavar="KEY_ID")
@click.option(
    "--grace",
    "hours",
    default=24.0,
    show_default=True,
    type=click.FloatRange(min=0),
    metavar="HOURS",
    help="How long the old one still works.",
)
@data_option
def rotate(id: str, hours: float, data: Path | None) -> None:  # noqa: A002
    """Make a new key like an old one and let the old one run out."""
    from nettrace.hub import keyring
    from nettrace.hub.open import folder_of, open_reader, writer

    place = folder_of(data)
    with writer(place) as store:
        reader = open_reader(place)
        try:
            made = keyring.rotate(store, reader, id, hours, time.time_ns())
        finally:
            reader.close()
    note(f"nettrace: {made.key.id} takes the place of {id}, which works for {hours:g} h more")
    click.echo(made.secret)


@command.command("tiers")
@_output
@data_option
def tiers(output: str | None, data: Path | None) -> None:
    """Show what each tier holds; DATA/tiers.toml replaces the built-in ones."""
    from nettrace.hub import keyring
    from nettrace.hub.open import folder_of

    emitter = Emitter(output, _TierView())
    for tier in keyring.tiers_of(folder_of(data)).all():
        emitter.emit(keyring.tier_document(tier))
    emitter.close()


class _View:
    """One key a line."""

    fields = (
        "id",
        "hint",
        "account",
        "tier",
        "state",
        "scopes",
        "name",
        "created_at",
        "expires_at",
        "revoked_at",
    )

    def heading(self) -> str | None:
        """The columns."""
        return click.style(
            f"{'KEY':<17} {'ENDS IN':<8} {'ACCOUNT':<16} {'TIER':<15} {'STATE':<8} SCOPES", bold=True
        )

    def lines(self, document: Document) -> Sequence[str]:
        """The key's row."""
        key = document
        row = f"{key['id']:<17} {'...' + key['hint']:<8} {key['account']:<16} {key['tier']:<15} {key['state']:<8} "
        return [row + ",".join(key["scopes"]) + (f"  {key['name']}" if key["name"] else "")]


class _TierView:
    """One tier a line."""

    fields = (
        "name",
        "title",
        "calls_per_day",
        "calls_per_minute",
        "history_days",
        "streams",
        "custom_targets",
        "price_usd_month",
        "features",
    )

    def heading(self) -> str | None:
        """The columns."""
        return click.style(
            f"{'TIER':<16} {'CALLS/DAY':>10} {'/MIN':>7} {'HISTORY':>8} {'STREAMS':>8}  FEATURES", bold=True
        )

    def lines(self, document: Document) -> Sequence[str]:
        """The tier's row; what has no limit is said to have none."""

        def limit(name: str, unit: str = "") -> str:
            return "no limit" if document[name] is None else f"{document[name]}{unit}"

        row = f"{document['name']:<16} {limit('calls_per_day'):>10} {limit('calls_per_minute'):>7} "
        return [
            row
            + f"{limit('history_days', ' d'):>8} {document['streams']:>8}  {', '.join(document['features'])}"
        ]
