"""Confirm tokens: a change happens only by the very plan that was shown, once, and soon after."""

import hashlib
import hmac
import secrets

import msgspec

from nettrace.errors import Conflict
from nettrace.model.instant import NS_PER_S, Instant

LASTS_S = 300


class Confirmations:
    """Makes and takes tokens; they mean nothing to another server or after a restart.

    >>> tokens = Confirmations(b"k" * 32)
    >>> token = tokens.make("key_1", "drain", {"node": "n1"}, 0)
    >>> tokens.take(token, "key_1", "drain", {"node": "n1"}, 5)

    Args:
        secret: what tokens are signed with; a random one unless given.
    """

    def __init__(self, secret: bytes | None = None) -> None:
        self._secret = secret or secrets.token_bytes(32)
        self._used: dict[str, Instant] = {}

    def make(self, who: str, tool: str, plan: object, now: Instant) -> str:
        """A token for this caller, tool and plan that ends in five minutes."""
        body = f"{now + LASTS_S * NS_PER_S}.{secrets.token_hex(8)}"
        return f"{body}.{self._signature(body, who, tool, plan)}"

    def take(self, token: str, who: str, tool: str, plan: object, now: Instant) -> None:
        """Nothing, once, when the token was made for exactly this and is not over.

        Raises:
            Conflict: it was made for something else, is over or was used.
        """
        body, _, signature = token.rpartition(".")
        made = self._signature(body, who, tool, plan)
        if not hmac.compare_digest(made.encode(), signature.encode("utf-8", "replace")):
            raise _refused("it was not made for this call with these arguments")
        ends = int(body.partition(".")[0])
        if now >= ends:
            raise _refused("it is over after five minutes")
        self._used = {each: end for each, end in self._used.items() if end > now}
        if body in self._used:
            raise _refused("it was used already")
        self._used[body] = ends

    def _signature(self, body: str, who: str, tool: str, plan: object) -> str:
        text = msgspec.json.encode([body, who, tool, plan], order="sorted")
        return hmac.new(self._secret, text, hashlib.sha256).hexdigest()[:32]


def _refused(why: str) -> Conflict:
    return Conflict(
        f"the confirm token does not hold: {why}", "Call without `confirm` for the plan and a new token"
    )
