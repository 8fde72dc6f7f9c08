"""`nettrace alerts`: rules checked and tried, incidents listed, acknowledged and closed, channels tested."""

import getpass
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from nettrace.cli.folder import data_option
from nettrace.cli.output import FORMATS, Document, Emitter, note

if TYPE_CHECKING:
    from nettrace.analysis.alerts.rule import RuleBook
    from nettrace.hub.place import Data
    from nettrace.store.port import StoreReader

_DAY_NS = 86_400 * 10**9
_output = click.option(
    "-o", "--output", type=click.Choice(FORMATS), help="Default: table on a terminal, ndjson in a pipe."
)
_rules = click.option(
    "--rules", "file", type=click.Path(path_type=Path, dir_okay=False), help="Default: DATA/alerts.toml."
)


@click.group("alerts")
def command() -> None:
    """Rules over what is measured, the incidents they open, and where these are told.

    Rules and channels stand in DATA/alerts.toml, which is read again when it changes.
    """


@command.command("rules")
@_rules
@_output
@data_option
def rules(file: Path | None, output: str | None, data: Path | None) -> None:
    """Check the rules and show them with everything filled in; a mistake ends with 2 and says what was meant."""
    place, book = _book(data, file)
    del place
    emitter = Emitter(output, _RuleView())
    for rule in book.rule:
        emitter.emit({"schema": "nettrace.rule/1", **msgspec.to_builtins(rule)})
    emitter.close()
    note(f"nettrace: {len(book.rule)} rules, {len(book.channel)} channels; they are in order")


@command.command("test")
@click.argument("channel")
@_rules
@data_option
def test(channel: str, file: Path | None, data: Path | None) -> None:
    """Send a test notice to a channel now, once, from here."""
    from nettrace.errors import NotFound, Unreachable
    from nettrace.outside.notify.channel import Fate, deliver
    from nettrace.outside.notify.message import Message, example, notice_document

    _, book = _book(data, file)
    if channel not in book.channel:
        raise NotFound(f"there is no channel '{channel}'", f"There are: {', '.join(book.channel) or 'none'}")
    now = time.time_ns()
    document = msgspec.json.decode(notice_document(example(now), "A test: nothing is wrong."))
    message = Message(id=f"msg_test_{now}", document=document)
    receipt = deliver(channel, book.channel[channel], message, now)
    if receipt.fate is not Fate.DELIVERED:
        raise Unreachable(f"channel '{channel}': {receipt.detail}", "Nothing was changed; try again")
    note(f"nettrace: {channel} took it")


@command.command("list")
@click.option("--all", "is_all", is_flag=True, help="Closed ones too.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=100, show_default=True)
@_output
@data_option
def list_(is_all: bool, limit: int, output: str | None, data: Path | None) -> None:
    """Show incidents, newest first."""
    from nettrace.model.alert import IncidentState
    from nettrace.outside.notify.message import incident_document

    place = _place(data)
    states = () if is_all else (IncidentState.OPEN, IncidentState.ACKNOWLEDGED)
    emitter = Emitter(output, _IncidentView())
    reader = _reader(place)
    try:
        for incident in reader.incidents(states=states, limit=limit):
            emitter.emit(incident_document(incident))
    finally:
        reader.close()
    emitter.close()


@command.command("deliveries")
@click.option("--incident", metavar="INCIDENT_ID", help="Only of this one.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=100, show_default=True)
@_output
@data_option
def deliveries(incident: str | None, limit: int, output: str | None, data: Path | None) -> None:
    """Show what became of each notice, newest first."""
    from nettrace.model.instant import rfc3339

    emitter = Emitter(output, _DeliveryView())
    reader = _reader(_place(data))
    try:
        for each in reader.deliveries(incident=incident, limit=limit):
            delivered = None if each.delivered_at is None else rfc3339(each.delivered_at)
            emitter.emit({
                "schema": "nettrace.delivery/1", "id": each.id, "channel": each.channel, "incident": each.incident,
                "notice": each.kind, "state": each.state, "attempts": each.attempts,
                "created_at": rfc3339(each.created_at), "delivered_at": delivered, "problem": each.problem,
            })  # fmt: skip
    finally:
        reader.close()
    emitter.close()


def _verb(name: str, of: str, meaning: str, done: str) -> click.Command:
    """A command that orders one thing of the hub."""

    @click.command(name, help=meaning)
    @click.argument("id", metavar=of)
    @data_option
    def order(id: str, data: Path | None) -> None:  # noqa: A002
        _order(data, name, id)
        note(f"nettrace: {id} is {done} within a second of the hub's running")

    return order


for _words in (
    ("ack", "INCIDENT_ID", "Say that an incident is somebody's: it is neither repeated nor escalated from now on.", "acknowledged"),
    ("close", "INCIDENT_ID", "End an incident by hand; what still holds opens no other one before it was over.", "closed"),
    ("replay", "DELIVERY_ID", "Send a notice again, under the same id.", "sent again"),
    ("enable", "CHANNEL", "Ask a disabled channel again; what waited for it is sent.", "asked again"),
):  # fmt: skip
    command.add_command(_verb(*_words))


@command.command("preview")
@click.option("--days", type=click.FloatRange(min=0, min_open=True, max=365), default=30.0, show_default=True)
@_rules
@_output
@data_option
def preview(days: float, file: Path | None, output: str | None, data: Path | None) -> None:
    """Show the incidents these rules would have opened over what is stored, oldest first."""
    from nettrace.hub.alerting import preview as run
    from nettrace.outside.notify.message import incident_document
    from nettrace.store.rows import Window

    place, book = _book(data, file)
    now = time.time_ns()
    reader = _reader(place)
    try:
        found = run(reader, book, Window(now - round(days * _DAY_NS), now))
    finally:
        reader.close()
    emitter = Emitter(output, _IncidentView())
    for incident in found:
        emitter.emit(incident_document(incident))
    emitter.close()
    times = "once" if len(found) == 1 else f"{len(found)} times"
    note(f"nettrace: would have fired {times} in the last {days:g} days")


def _place(data: Path | None) -> "Data":
    from nettrace.hub.open import folder_of

    return folder_of(data)


def _reader(place: "Data") -> "StoreReader":
    from nettrace.hub.open import open_reader

    return open_reader(place)


def _book(data: Path | None, file: Path | None) -> "tuple[Data, RuleBook]":
    from nettrace.hub.alerting import FILE, load

    place = _place(data)
    return place, load(file or place.folder / FILE)


def _order(data: Path | None, action: str, subject: str) -> None:
    """Write down what is wanted, when there is something it can be wanted of.

    Raises:
        NotFound: there is nothing by that name.
    """
    from nettrace.errors import NotFound
    from nettrace.hub.open import writer
    from nettrace.model.alert import IncidentState, Order

    place = _place(data)
    reader = _reader(place)
    try:
        if action == "replay":
            known = reader.delivery(subject) is not None
        elif action == "enable":
            known = subject in _book(data, None)[1].channel
        else:
            states = (IncidentState.OPEN, IncidentState.ACKNOWLEDGED)
            known = any(each.id == subject for each in reader.incidents(states=states, limit=100_000))
    finally:
        reader.close()
    if not known:
        raise NotFound(
            f"nothing by the name '{subject}' is there to {action}", "nettrace alerts list shows what is"
        )
    with writer(place) as store:
        store.put_alert_order(Order(action=action, subject=subject, actor=_user(), at=time.time_ns()))


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container's user without a name
        return "command line"


class _RuleView:
    """One rule a line."""

    fields = (
        "name",
        "metric",
        "above",
        "recover",
        "mads",
        "for",
        "k",
        "n",
        "severity",
        "session",
        "group",
        "channels",
    )

    def heading(self) -> str | None:
        """The columns."""
        return click.style(
            f"{'RULE':<22} {'METRIC':<9} {'ABOVE':>12} {'FOR':>6} {'K':>3} {'SEVERITY':<9} CHANNELS",
            bold=True,
        )

    def lines(self, document: Document) -> Sequence[str]:
        """The rule's row."""
        rule = document
        above = (
            f"p95+{rule['mads']:g}MAD"
            if rule["mads"] is not None
            else "-"
            if rule["above"] is None
            else f"{rule['above']:g}"
        )
        row = f"{rule['name']:<22} {rule['metric']:<9} {above:>12} {rule['for']:>6} {rule['k']:>3} {rule['severity']:<9} "
        return [row + (",".join(rule["channels"]) or "all")]


class _IncidentView:
    """One incident a line."""

    fields = (
        "id",
        "state",
        "severity",
        "cause",
        "rules",
        "targets",
        "vantages",
        "since",
        "opened_at",
        "closed_at",
        "closed_by",
    )

    def heading(self) -> str | None:
        """The columns."""
        return click.style(f"{'INCIDENT':<25} {'STATE':<13} {'SEVERITY':<9} {'OPENED':<20} CAUSE", bold=True)

    def lines(self, document: Document) -> Sequence[str]:
        """The incident's row."""
        one = document
        row = f"{one['id']:<25} {one['state']:<13} {one['severity']:<9} {one['opened_at'][:19]:<20} {one['cause']}"
        return [row + f"  ({', '.join(one['rules'])})"]


class _DeliveryView:
    """One delivery a line."""

    fields = (
        "id",
        "channel",
        "incident",
        "notice",
        "state",
        "attempts",
        "created_at",
        "delivered_at",
        "problem",
    )

    def heading(self) -> str | None:
        """The columns."""
        return click.style(
            f"{'DELIVERY':<25} {'CHANNEL':<12} {'NOTICE':<17} {'STATE':<10} {'TRIES':>5}  PROBLEM", bold=True
        )

    def lines(self, document: Document) -> Sequence[str]:
        """The delivery's row."""
        one = document
        row = f"{one['id']:<25} {one['channel']:<12} {one['notice']:<17} {one['state']:<10} {one['attempts']:>5}  "
        return [row + one["problem"]]
