"""Making, changing and revoking keys: the same rules for the command line and the API."""

from typing import Any

import msgspec

from nettrace.errors import Conflict, Invalid, NotFound
from nettrace.hub import keys
from nettrace.hub.place import Data
from nettrace.hub.tiers import TEST, Tiers
from nettrace.model.account import Key, Scope, Tier
from nettrace.model.instant import NS_PER_S, Instant, rfc3339
from nettrace.store.port import StoreReader, StoreWriter
from nettrace.store.rows import Audit

_DAY_NS = 86_400 * NS_PER_S


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What a new key is to be."""

    tier: str
    account: str
    name: str = ""
    scopes: tuple[str, ...] = ()
    live: bool = True
    days: float | None = None


class Made(msgspec.Struct, frozen=True):
    """A new key, with the secret that is shown once and kept nowhere."""

    secret: str
    key: Key


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
    secret = keys.mint(keys.LIVE if wanted.live else keys.TEST)
    key = Key(
        id=keys.identifier("key_"), hash=keys.digest(secret), hint=secret[-4:], account=wanted.account, tier=tier.name,
        scopes=frozenset(Scope(scope) for scope in wanted.scopes) | {Scope.READ}, live=wanted.live, name=wanted.name,
        created_at=now, expires_at=None if wanted.days is None else now + round(wanted.days * _DAY_NS),
    )  # fmt: skip
    store.put_key(key)
    _note(store, (actor, "key.create", key.id), now, f"tier {tier.name}, account {key.account}")
    return Made(secret, key)


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
    _note(store, (actor, "key.revoke", key.id), now)
    return key


def change(
    store: StoreWriter, reader: StoreReader, tiers: Tiers, wanted: tuple[str, str], now: Instant
) -> Key:
    """The key (`wanted[0]`) with another tier (`wanted[1]`)."""
    tier = tiers.named(wanted[1])
    key = _usable(found(reader, wanted[0]), now)
    key = msgspec.structs.replace(key, tier=tier.name)
    store.put_key(key)
    _note(store, ("command line", "key.change", key.id), now, f"tier {tier.name}")
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
    _note(store, ("command line", "key.rotate", old.id), now, f"successor {new.id}")
    return Made(secret, new)


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


def _note(store: StoreWriter, what: tuple[str, str, str], now: Instant, detail: str = "") -> None:
    actor, action, subject = what
    store.put_audit(Audit(at=now, actor=actor, action=action, subject=subject, outcome="done", detail=detail))
