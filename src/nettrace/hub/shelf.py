"""Alert rules, channels and silences that accounts made by the API, each account's a rule book of its own.

Every one is a setting of its own in the store (`alerts/MARK/KIND/NAME`), so two that are made at once do not undo each
other; one that was taken away stays as an empty entry. What an account may not say is refused here: secrets come from the
hub, not from its files or environment, and only operators open private networks.
"""

import base64
import re
import secrets as chance
from collections.abc import Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from nettrace.analysis.alerts.rule import RuleBook, read_book
from nettrace.errors import ConfigError, Conflict, InvalidField, NotAllowed, NotFound
from nettrace.hub.access import Caller
from nettrace.hub.market_hours import market_sessions
from nettrace.model.account import Scope

RULE, CHANNEL, SILENCE = "rule", "channel", "silence"
MOST = 200
"""Entries of a kind an account may have."""
POSTED = ("webhook", "slack", "discord", "alertmanager")
"""Kinds of channels an account may make: those that are posted to an address, which is checked when it is used."""
_PREFIX = "alerts/"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,63}", re.ASCII)


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One thing an account made. `body` is as it was sent, or None when it was taken away."""

    account: str
    kind: str
    name: str
    body: dict[str, Any] | None
    at: int
    secret: str = ""


class Shelf(msgspec.Struct, kw_only=True):
    """What one account made, by kind and name."""

    account: str
    entries: dict[str, dict[str, Entry]] = {}

    def of(self, kind: str) -> dict[str, Entry]:
        """Those of a kind that are there, by name."""
        return {name: each for name, each in self.entries.get(kind, {}).items() if each.body is not None}

    def book(self, secrets: Path) -> RuleBook:
        """All of it as rules that can be held against what is measured; `secrets` is where signing secrets lie.

        Raises:
            ConfigError: something in it is wrong.
        """
        return read_book(self._raw(secrets), market_sessions())

    def _raw(self, secrets: Path) -> dict[str, Any]:
        return {
            "rule": [{**(each.body or {}), "name": name} for name, each in self.of(RULE).items()],
            "channel": {name: _channel(each, secrets) for name, each in self.of(CHANNEL).items()},
            "maintenance": [dict(each.body or {}) for each in self.of(SILENCE).values()],
        }

    def found(self, kind: str, name: str) -> Entry:
        """The entry of that name.

        Raises:
            NotFound: there is none.
        """
        entry = self.of(kind).get(name)
        if entry is None:
            raise NotFound(f"no {kind} '{name[:64]}'", f"See /api/v1/alerts/{kind}s")
        return entry

    def beside(self, entry: Entry, secrets: Path) -> "Shelf":
        """The shelf with one more entry, checked as a whole.

        Raises:
            InvalidField, ConfigError: it is wrong. Conflict: there is no room, or it takes away what a rule uses.
        """
        if not _NAME.fullmatch(entry.name):
            raise InvalidField(
                "name", f"'{entry.name[:64]}' is no name", "1 to 64 letters, digits, spaces, . _ -"
            )
        kinds = {kind: dict(held) for kind, held in self.entries.items()}
        kinds.setdefault(entry.kind, {})[entry.name] = entry
        made = Shelf(account=self.account, entries=kinds)
        if len(made.of(entry.kind)) > MOST:
            raise Conflict(f"an account has at most {MOST} {entry.kind}s", "Take one away")
        try:
            made.book(secrets)
        except ConfigError as error:
            if entry.body is None:
                raise Conflict(
                    f"'{entry.name}' is still used: {error.detail}", "Change that first"
                ) from error
            raise
        return made


def shelf_of(settings: Mapping[str, bytes], account: str) -> Shelf:
    """What an account made so far."""
    return shelves(settings).get(account) or Shelf(account=account)


def shelves(settings: Mapping[str, bytes]) -> dict[str, Shelf]:
    """What every account made, by account."""
    found: dict[str, Shelf] = {}
    for name in sorted(settings):
        if name.startswith(_PREFIX):
            entry = msgspec.json.decode(settings[name], type=Entry)
            shelf = found.setdefault(entry.account, Shelf(account=entry.account, entries={}))
            shelf.entries.setdefault(entry.kind, {})[entry.name] = entry
    return found


def books(settings: Mapping[str, bytes], secrets: Path) -> dict[str, RuleBook | ConfigError]:
    """Every account's rules, or what is wrong with them (an update may know a word no more)."""
    found: dict[str, RuleBook | ConfigError] = {}
    for account, shelf in shelves(settings).items():
        try:
            found[account] = shelf.book(secrets)
        except ConfigError as error:
            found[account] = error
    return found


def posted(body: Mapping[str, Any], *, operator: bool) -> dict[str, Any]:
    """What an account may say of a channel.

    Raises:
        InvalidField: it is of another kind, or no address. NotAllowed: it opens networks, and no operator says so.
    """
    kind, url = str(body.get("kind", "")), str(body.get("url", ""))
    if kind not in POSTED:
        raise InvalidField(
            "kind",
            f"no kind '{kind[:40]}' here",
            f"{', '.join(POSTED)}; others are made in alerts.toml on the hub",
        )
    try:
        parts = urlsplit(url)
        good = parts.scheme in {"http", "https"} and bool(parts.hostname) and "@" not in parts.netloc
        good = good and len(url) <= 2000 and parts.port != 0
    except ValueError:
        good = False
    if not good:
        raise InvalidField("url", "url is no http or https address without a user", "Write https://HOST/PATH")
    if body.get("allow") and not operator:
        raise NotAllowed("only operators open private networks to channels", "A key with the scope 'fleet'")
    return dict(body)


def new_secret(folder: Path) -> tuple[str, str]:
    """A signing secret (`whsec_...`), and the name of the file in `folder` that it is kept in from now on."""
    folder.mkdir(mode=0o700, exist_ok=True)
    made, name = "whsec_" + base64.b64encode(chance.token_bytes(32)).decode(), chance.token_hex(8)
    path = folder / name
    path.touch(mode=0o600)
    path.write_text(made)
    return made, name


def setting_of(entry: Entry) -> tuple[str, bytes]:
    """The setting an entry is kept in."""
    return f"{_PREFIX}{mark(entry.account)}/{entry.kind}/{entry.name}", msgspec.json.encode(entry)


def mark(account: str) -> str:
    """What tells the incidents and channels of accounts apart, without saying whose they are.

    >>> len(mark("acme"))
    16
    """
    return blake2b(account.encode(), digest_size=8).hexdigest()


def operates(caller: Caller) -> bool:
    """Whether this is who runs the hub: its single user, or a key that may change the fleet."""
    return caller.key is None or Scope.FLEET in caller.scopes


def _channel(entry: Entry, secrets: Path) -> dict[str, Any]:
    body = dict(entry.body or {})
    return {**body, "secrets": [f"file:{secrets / entry.secret}"]} if entry.secret else body
