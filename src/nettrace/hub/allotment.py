"""Which targets of an account's own are paused: those beyond what its tier holds now.

A tier that was lowered, or a key that ended, takes nothing away: the targets stay with their history, the first by name
go on being measured, and the others wait until the tier holds them again or one of the first is given up.
"""

from collections.abc import Iterable, Mapping

from nettrace.hub.access import OWNER
from nettrace.hub.tiers import TEST, Tiers
from nettrace.model.account import Feature, Key, Tier
from nettrace.model.instant import Instant
from nettrace.model.target import Lifecycle, Target
from nettrace.store.port import StoreReader


def paused(
    reader: StoreReader, tiers: Tiers, targets: Iterable[Target], now: Instant, account: str | None = None
) -> dict[str, str]:
    """The names of targets that rest, each with the reason in words; of one account or of all."""
    owned: dict[str, list[str]] = {}
    for target in targets:
        mine = target.account is not None and (account is None or target.account == account)
        if mine and target.lifecycle is not Lifecycle.RETIRED:
            owned.setdefault(str(target.account), []).append(target.host)
    resting: dict[str, str] = {}
    for whose, hosts in owned.items():
        most = allotted(whose, reader.keys(whose), tiers, now)
        if len(hosts) > most:
            why = f"the account's tier holds {most} targets of its own, and this is one more; it is kept"
            resting |= dict.fromkeys(sorted(hosts)[most:], why)
    return resting


def allotted(account: str, keys: Iterable[Key], tiers: Tiers, now: Instant) -> int:
    """How many targets of its own an account may have watched: what the best of its valid keys holds."""
    if account == OWNER.account:
        return OWNER.tier.custom_targets
    named = {tier.name: tier for tier in tiers.all()}
    valid = [key for key in keys if _valid(key, now)]
    return max((_held(named, key) for key in valid), default=0)


def _held(named: Mapping[str, Tier], key: Key) -> int:
    tier = named.get(key.tier if key.live else TEST)
    return tier.custom_targets if tier is not None and Feature.CUSTOM_TARGETS in tier.features else 0


def _valid(key: Key, now: Instant) -> bool:
    return not any(end is not None and end <= now for end in (key.revoked_at, key.expires_at))
