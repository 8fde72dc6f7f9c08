"""Who is asking, and may they: the one place where keys, tiers, scopes and quota are enforced for every door."""

import ipaddress

import msgspec

from nettrace.errors import NotAllowed, QuotaExceeded, Unauthenticated
from nettrace.hub import keys
from nettrace.hub.quota import Allowance, Quota
from nettrace.hub.tiers import SELF, TEST, Tiers
from nettrace.model.account import Feature, Key, Scope, Tier
from nettrace.model.instant import NS_PER_S, Instant
from nettrace.store.port import StoreReader
from nettrace.store.rows import Window

_DAY_NS = 86_400 * NS_PER_S


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """Who is asking.

    Attributes:
        account: whose custom targets, exports and measurements are visible.
        key: `key_...`, or None for the user of a single-user hub.
        session: the name of the browser's session that speaks for the key; empty when the key itself was sent.
    """

    account: str
    tier: Tier
    scopes: frozenset[Scope]
    key: str | None = None
    live: bool = True
    session: str = ""


OWNER = Caller(account="self", tier=SELF, scopes=frozenset(Scope))
"""The user of a hub that only listens on loopback and never made a key."""


def loopback(host: str) -> bool:
    """Whether an address to listen on is reached from this machine only.

    >>> loopback("127.0.0.1"), loopback("::1"), loopback("localhost"), loopback("0.0.0.0")
    (True, True, True, False)
    """
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


class Access:
    """Answers who and whether.

    Args:
        reader: asked for the key at every call, so that a revoked one is dead everywhere at once.
        single_user: whether callers without a key may be the owner, as long as no key was ever made.
    """

    def __init__(self, reader: StoreReader, tiers: Tiers, quota: Quota, *, single_user: bool) -> None:
        self._reader = reader
        self.tiers = tiers
        self._quota = quota
        self._single_user = single_user

    def caller(self, authorization: str | None, x_api_key: str | None, now: Instant) -> Caller:
        """Who sent these headers.

        Raises:
            Unauthenticated: no key where one is needed, or one that is malformed, unknown, expired or revoked.
        """
        secret = _secret(authorization, x_api_key)
        if secret is None:
            if self._single_user and not self._reader.keys():
                return OWNER
            raise Unauthenticated("no API key", "Send it as 'Authorization: Bearer nt_...'")
        if not keys.well_formed(secret) or secret.startswith(keys.ENROL):
            raise Unauthenticated("this is not an API key", "A key is nt_live_ or nt_test_ and 36 characters")
        key = self._reader.key(keys.digest(secret))
        if key is None:
            raise Unauthenticated("this API key is unknown here", "Was it made for another hub?")
        return self._checked(key, now)

    def holder(self, key_id: str, now: Instant) -> Caller:
        """Who holds the key of this id: for sessions, which never see the key again.

        Raises:
            Unauthenticated: there is none, or it has expired or was revoked.
        """
        there = self._reader.keys()
        key = next((key for key in there if key.id == key_id), None)
        if key is None:
            raise Unauthenticated("the session's key is unknown here")
        return self._checked(key, now)

    def settings(self) -> dict[str, bytes]:
        """Stored settings: which sessions were ended stands among them."""
        return self._reader.settings()

    def _checked(self, key: Key, now: Instant) -> Caller:
        if key.revoked_at is not None and key.revoked_at <= now:
            raise Unauthenticated(f"the API key {key.id} (...{key.hint}) was revoked")
        if key.expires_at is not None and key.expires_at <= now:
            raise Unauthenticated(f"the API key {key.id} (...{key.hint}) has expired")
        tier = self.tiers.named(key.tier if key.live else TEST)
        return Caller(account=key.account, tier=tier, scopes=key.scopes, key=key.id, live=key.live)

    def require(self, caller: Caller, feature: Feature | None = None, scope: Scope | None = None) -> None:
        """Nothing, when the caller's tier has the feature and the key the scope.

        Raises:
            NotAllowed: one is missing; the hint says which tiers have it.
        """
        if feature is not None and feature not in caller.tier.features:
            having = [
                tier.title for tier in self.tiers.all() if feature in tier.features and tier.name != TEST
            ]
            raise NotAllowed(
                f"the tier '{caller.tier.name}' does not hold '{feature}'",
                f"These do: {', '.join(having)}" if having else "No tier of this hub does",
            )
        if scope is not None and scope not in caller.scopes:
            raise NotAllowed(
                f"this key lacks the scope '{scope}'", "Scopes are fixed: make a key that has it"
            )

    def charge(self, caller: Caller, now: Instant, cost: int = 1) -> Allowance:
        """Count a call; what is left.

        Raises:
            QuotaExceeded: a limit is used up. The refused call costs nothing.
        """
        if caller.key is None:
            return Allowance(allowed=True, policies=())
        allowance = self._quota.charge(_counter(caller), caller.tier, now, cost)
        if not allowance.allowed:
            violated = allowance.violated
            raise QuotaExceeded(
                f"the tier '{caller.tier.name}' allows "
                + " and ".join(f"{policy.limit} calls in {policy.window_s} s" for policy in violated),
                "Wait, or ask for a larger tier",
                retry_after_s=max(policy.reset_s for policy in violated),
                policies=tuple(policy.name for policy in violated),
            )
        return allowance

    def usage(self, caller: Caller, now: Instant) -> Allowance:
        """What the caller used so far; asking is free."""
        if caller.key is None:
            return Allowance(allowed=True, policies=())
        return self._quota.usage(_counter(caller), caller.tier, now)

    def allot(self, caller: Caller, targets: int) -> None:
        """Nothing, when the caller's tier holds so many targets of its own.

        Raises:
            NotAllowed: it holds fewer.
        """
        most = caller.tier.custom_targets
        if targets > most:
            raise NotAllowed(
                f"the tier '{caller.tier.name}' holds {most} targets of its own",
                "Remove one at /api/v1/targets/custom, or ask for a larger tier",
            )

    def window(self, caller: Caller, window: Window, now: Instant) -> Window:
        """The part of a window that the tier's history reaches; never negative."""
        days = caller.tier.history_days
        if days is None:
            return window
        start = max(window.start, now - days * _DAY_NS)
        return Window(start, max(start, window.end))


def _counter(caller: Caller) -> str:
    """Calls are counted by account: ten keys do not make ten quotas. Test keys count apart."""
    return caller.account if caller.live else f"test:{caller.account}"


def _secret(authorization: str | None, x_api_key: str | None) -> str | None:
    if authorization is not None:
        scheme, _, secret = authorization.partition(" ")
        if scheme.lower() != "bearer" or not secret.strip():
            raise Unauthenticated("the Authorization header is not 'Bearer nt_...'")
        return secret.strip()
    return x_api_key or None
