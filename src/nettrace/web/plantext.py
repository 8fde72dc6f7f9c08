"""A placement request as a page carries it: packed into an address, and its limits changed as a form says."""

import binascii
import re
import zlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping

from nettrace.errors import Invalid

LONGEST = 8000
"""Characters of an address that a request may take; a longer one has no permalink."""
MOST_TEXT = 400_000

_HEAD = re.compile(r"^\s*\[\s*limits\s*\]\s*(#.*)?$")


def packed(text: str) -> str | None:
    """The text for an address, or None when it is too long for one.

    >>> unpacked(packed("[limits]") or "")
    '[limits]'
    """
    made = urlsafe_b64encode(zlib.compress(text.encode(), 9)).decode().rstrip("=")
    return made if len(made) <= LONGEST else None


def unpacked(words: str) -> str:
    """The text of an address.

    Raises:
        Invalid: it was cut off, or is none.
    """
    try:
        raw = urlsafe_b64decode(words + "=" * (-len(words) % 4))
        unpacker = zlib.decompressobj()
        text = unpacker.decompress(raw, MOST_TEXT)
        if not unpacker.eof:
            raise Invalid(
                "this address holds no whole request", "Was it cut off? Paste the request itself below"
            )
        return text.decode()
    except (binascii.Error, zlib.error, ValueError):
        raise Invalid(
            "this address holds no request", "Was it cut off? Paste the request itself below"
        ) from None


def with_limits(text: str, limits: Mapping[str, float | None]) -> str:
    r"""The request's text with these values in its `[limits]` table; None takes the key away. All else stays as it is.

    >>> with_limits('[limits]\nmax_sites = 2 # few\n[[venue]]\nname = "v"\n', {"max_sites": 3})
    '[limits]\nmax_sites = 3\n[[venue]]\nname = "v"\n'
    >>> with_limits('site = []\n', {"budget_usd_month": 99.5})
    'site = []\n\n[limits]\nbudget_usd_month = 99.5\n'
    """
    lines = text.splitlines()
    start = next((at for at, line in enumerate(lines) if _HEAD.match(line)), None)
    said = [f"{name} = {value:g}" for name, value in limits.items() if value is not None]
    if start is None:
        return text if not said else "\n".join([text.rstrip("\n"), "", "[limits]", *said, ""])
    end = next((at for at in range(start + 1, len(lines)) if lines[at].lstrip().startswith("[")), len(lines))
    kept = [line for line in lines[start + 1 : end] if line.partition("=")[0].strip() not in limits]
    return "\n".join([*lines[: start + 1], *said, *kept, *lines[end:]]) + "\n"
