"""Making, changing and revoking keys: the same rules for the command line, the API and the pages.

What a caller may do with the keys of an account (`grant`, `withdraw`) decides and writes nothing, so that every door
hands the result to the one writer in its own way.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from nettrace.errors import Conflict, Invalid, InvalidField, NotAllowed, NotFound
from nettrace.hub import keys
from nettrace.hub.access import Caller
from nettrace.hub.place import Data
from nettrace.hub.tiers import TEST, Tiers
from nettrace.model.account import Key, Scope, Tier
from nettrace.model.instant import NS_PER_S, Instant, rfc3339
from nettrace.store.port import StoreReader, StoreWriter
from nettrace.store.rows import Audit

MOST_KEYS = 100
"""Keys of an account that are not revoked."""
LONGEST_NAME = 100
_DAY_NS = 86_400 * NS_PER_S


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What a new key is to be."""

    tier: str
    account: str
    name: str = ""
    scopes: tuple[str, ...] = ()
    live: bool = True
    days: float | None = None


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """The key a caller wants beside its own: of the same account and tier.

    Attributes:
        id: given where the same request twice shall be one key.
    """

    name: str = ""
    scopes: tuple[str, ...] = ()
    live: bool = True
    expires_at: Instant | None = None
    id: str | None = None


class Made(msgspec.Struct, frozen=True):
    """A new key, with the secret that is shown once and kept nowhere, and what the audit log says of it."""

    secret: str
    key: Key
    note: Audit


class Withdrawn(msgspec.Struct, frozen=True):
    """A key that is worthless now; `note` is None when it was before."""

    key: Key
    note: Audit | None


def tiers_of(place: Data) -> Tiers:
    """The tiers in force in a data folder."""
    return Tiers(place.folder / "tiers.toml")


def create(
    store: StoreWriter, tiers: Tiers, wanted: Wanted, now: Instant, actor: str = "command line"
) -> Made:
    """A new key in the store.

    Raises:
        ConfigError: there is no such tier. Invalid: an account cannot be named so.
    """
    tier = tiers.named(wanted.tier)
    if not wanted.account.strip() or not wanted.account.isprintable() or len(wanted.account) > 100:
        raise Invalid(
            f"{wanted.account!r} cannot be the name of an account", "Use 1 to 100 printable characters"
        )
    if wanted.live and tier.name == TEST:
        raise Invalid("the tier 'test' is for nt_test_ keys", "Add --test, or choose another tier")
    ask = Ask(
        name=wanted.name, live=wanted.live, scopes=(*wanted.scopes, Scope.READ),
        expires_at=None if wanted.days is None else now + round(wanted.days * _DAY_NS),
    )  # fmt: skip
    made = _minted(ask, (wanted.account, tier.name), now, actor)
    store.put_key(made.key)
    store.put_audit(made.note)
    return made


def keeper(caller: Caller) -> Caller:
    """The caller, whose account can have keys; whether this one may make them is a matter of its scopes.

    Raises:
        NotAllowed: it is the owner of a hub without keys.
    """
    if caller.key is None:
        raise NotAllowed(
            "a single-user hub's first key is made on its own machine",
            "nettrace keys create --tier enterprise_pro; from then on every request needs a key",
        )
    return caller


def grant(caller: Caller, held: Sequence[Key], ask: Ask, now: Instant) -> Made:
    """The key that a caller asks for, beside those its account holds. It can read whenever its maker can.

    Raises:
        NotAllowed: it would have a scope that its maker lacks. Invalid: a field is wrong.
        Conflict: the account has enough keys, or this very one.
    """
    keeper(caller)
    try:
        scopes = frozenset(Scope(each) for each in ask.scopes)
    except ValueError:
        raise InvalidField(
            "scopes", f"unknown scope in {list(ask.scopes[:10])}", f"There are {', '.join(Scope)}"
        ) from None
    missing = scopes - caller.scopes
    if missing:
        raise NotAllowed(
            f"this key lacks {', '.join(sorted(missing))} itself", "A key cannot make a wider one"
        )
    if ask.expires_at is not None and ask.expires_at <= now:
        raise InvalidField("expires_at", "expires_at lies in the past")
    if any(key.id == ask.id for key in held):
        raise Conflict(
            "a key was made with this Idempotency-Key already", "Its secret was shown then; see /api/v1/keys"
        )
    if sum(key.revoked_at is None for key in held) >= MOST_KEYS:
        raise Conflict(f"an account has at most {MOST_KEYS} keys", "Revoke one")
    own = next((key for key in held if key.id == caller.key), None)
    wider = msgspec.structs.replace(
        ask, live=ask.live and caller.live, scopes=tuple(scopes | (caller.scopes & {Scope.READ}))
    )
    tier = own.tier if own is not None else caller.tier.name
    return _minted(wider, (caller.account, tier), now, caller.key or caller.account)


def withdraw(caller: Caller, held: Sequence[Key], key_id: str, now: Instant) -> Withdrawn:
    """A key of the caller's account, worthless from now on; another account's is as if it were not there.

    Raises:
        NotFound: there is none. NotAllowed: the caller has no keys at all.
    """
    keeper(caller)
    key = next((key for key in held if key.id == key_id), None)
    if key is None:
        raise NotFound(f"no key '{key_id[:60]}'", "Your account's keys: /api/v1/keys, or the page /account")
    if key.revoked_at is not None:
        return Withdrawn(key, None)
    note = _noted((caller.key or caller.account, "key.revoke", key.id), now)
    return Withdrawn(msgspec.structs.replace(key, revoked_at=now), note)


def _minted(ask: Ask, owner: tuple[str, str], now: Instant, actor: str) -> Made:
    """A key for an account of a tier."""
    if len(ask.name) > LONGEST_NAME or (ask.name and not ask.name.isprintable()):
        raise InvalidField("name", f"a key's name has at most {LONGEST_NAME} printable characters")
    account, tier = owner
    secret = keys.mint(keys.LIVE if ask.live else keys.TEST)
    key = Key(
        id=ask.id or keys.identifier("key_"), hash=keys.digest(secret), hint=secret[-4:], account=account, tier=tier,
        scopes=frozenset(Scope(scope) for scope in ask.scopes), live=ask.live, name=ask.name, created_at=now,
        expires_at=ask.expires_at,
    )  # fmt: skip
    return Made(secret, key, _noted((actor, "key.create", key.id), now, f"tier {tier}, account {account}"))


def found(reader: StoreReader, key_id: str, account: str | None = None) -> Key:
    """The key with this id; another account's is as if it were not there.

    Raises:
        NotFound: there is none.
    """
    key = next((key for key in reader.keys(account) if key.id == key_id), None)
    if key is None:
        raise NotFound(f"there is no key '{key_id}'", "`nettrace keys list` shows those there are")
    return key


def revoke(
    store: StoreWriter, reader: StoreReader, key_id: str, now: Instant, actor: str = "command line"
) -> Key:
    """The key, worthless from now on. Revoking it again changes nothing."""
    key = found(reader, key_id)
    if key.revoked_at is not None:
        return key
    key = msgspec.structs.replace(key, revoked_at=now)
    store.put_key(key)
    store.put_audit(_noted((actor, "key.revoke", key.id), now))
    return key


def change(
    store: StoreWriter, reader: StoreReader, tiers: Tiers, wanted: tuple[str, str], now: Instant
) -> Key:
    """The key (`wanted[0]`) with another tier (`wanted[1]`)."""
    tier = tiers.named(wanted[1])
    key = _usable(found(reader, wanted[0]), now)
    key = msgspec.structs.replace(key, tier=tier.name)
    store.put_key(key)
    store.put_audit(_noted(("command line", "key.change", key.id), now, f"tier {tier.name}"))
    return key


def rotate(store: StoreWriter, reader: StoreReader, key_id: str, hours: float, now: Instant) -> Made:
    """A new key like an old one, which runs out after some hours."""
    old = _usable(found(reader, key_id), now)
    secret = keys.mint(keys.LIVE if old.live else keys.TEST)
    new = msgspec.structs.replace(
        old, id=keys.identifier("key_"), hash=keys.digest(secret), hint=secret[-4:], created_at=now
    )
    store.put_key(new)
    ends = now + round(hours * 3600 * NS_PER_S)
    ends = ends if old.expires_at is None else min(ends, old.expires_at)
    store.put_key(msgspec.structs.replace(old, expires_at=ends))
    note = _noted(("command line", "key.rotate", old.id), now, f"successor {new.id}")
    store.put_audit(note)
    return Made(secret, new, note)


def state(key: Key, now: Instant) -> str:
    """`active`, `revoked` or `expired`."""
    if key.revoked_at is not None and key.revoked_at <= now:
        return "revoked"
    return "expired" if key.expires_at is not None and key.expires_at <= now else "active"


def key_document(key: Key, now: Instant) -> dict[str, Any]:
    """A key as it may be shown: `nettrace.key/1`."""
    return {
        "schema": "nettrace.key/1", "id": key.id, "hint": key.hint, "account": key.account,
        "tier": key.tier if key.live else TEST, "state": state(key, now), "scopes": sorted(key.scopes), "name": key.name,
        "live": key.live, "created_at": rfc3339(key.created_at),
        "expires_at": None if key.expires_at is None else rfc3339(key.expires_at),
        "revoked_at": None if key.revoked_at is None else rfc3339(key.revoked_at),
    }  # fmt: skip


def tier_document(tier: Tier) -> dict[str, Any]:
    """A tier as it is shown: `nettrace.tier/1`. null is "no limit", of the price "ask"."""
    return {
        "schema": "nettrace.tier/1",
        **{name: getattr(tier, name) for name in tier.__struct_fields__ if name != "features"},
        "features": sorted(tier.features),
    }


def _usable(key: Key, now: Instant) -> Key:
    if state(key, now) != "active":
        raise Conflict(f"{key.id} is {state(key, now)}", "Make a new one: nettrace keys create")
    return key


def _noted(what: tuple[str, str, str], now: Instant, detail: str = "") -> Audit:
    actor, action, subject = what
    return Audit(at=now, actor=actor, action=action, subject=subject, outcome="done", detail=detail)
