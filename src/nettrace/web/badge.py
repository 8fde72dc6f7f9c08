"""Badges: one number for a README, honest about how old it is and whether it is one at all."""

import unicodedata
from enum import StrEnum

import msgspec

from nettrace.model.instant import NS_PER_MS, NS_PER_S, Instant
from nettrace.web.xml import text

_HEIGHT = 20
_PADDING = 6
_NARROW, _WIDE = 6.4, 12.0
"""Mean width of a letter and of an ideograph or emoji in 11 px Verdana, px; `textLength` makes it exact."""

_LONGEST = 60

STAGES = {"dns": "lookup", "connect": "TCP connect", "tls": "TLS handshake", "ttfb": "first byte"}
METRICS = ("rtt", "loss", "age", "hops", "state", *STAGES)
"""`hops` are of the newest trace, stages of the newest request; the rest of the method that speaks for the target."""


class Tone(StrEnum):
    """What a badge says by colour; the same is always in its words."""

    GOOD = "#2f7d32"
    FAIR = "#4c6b1f"
    SLOW = "#8a5a00"
    BAD = "#b3261e"
    UNKNOWN = "#5f6368"


SHIELDS = {
    Tone.GOOD: "brightgreen", Tone.FAIR: "green", Tone.SLOW: "yellow", Tone.BAD: "red", Tone.UNKNOWN: "lightgrey"
}  # fmt: skip
"""The shields.io endpoint's names for them (its schema, version 1)."""


class Badge(msgspec.Struct, frozen=True, kw_only=True):
    """What a badge says.

    Attributes:
        title: the whole story, for screen readers and tooltips.
    """

    label: str
    message: str
    tone: Tone
    title: str

    @property
    def is_error(self) -> bool:
        """Whether it reports that something is wrong, in shields.io's sense."""
        return self.tone in {Tone.BAD, Tone.UNKNOWN}


def rtt_badge(label: str, rtt_ns: int | None, at: Instant | None, now: Instant, interval_s: float) -> Badge:
    """A badge for a round trip: its value and, once it is older than three intervals, its age.

    `rtt_ns` None with an `at` is a failed round; without one nothing was ever measured. Those are two badges.

    >>> rtt_badge("api.example", 12_340_000, 0, 90_000_000_000, 60).message
    '12.3 ms'
    >>> rtt_badge("api.example", 12_340_000, 0, 7_200_000_000_000, 60).message
    '12.3 ms, 2 h ago'
    >>> rtt_badge("api.example", None, None, 0, 60).message
    'unknown'
    """
    if at is None:
        return Badge(
            label=label, message="unknown", tone=Tone.UNKNOWN, title=f"{label}: nothing measured yet"
        )
    age_s = max(0, now - at) // NS_PER_S
    stale = age_s > 3 * interval_s
    old = f", {age(age_s)} ago" if stale else ""
    if rtt_ns is None:
        tone = Tone.UNKNOWN if stale else Tone.BAD
        return Badge(
            label=label, message=f"no answer{old}", tone=tone, title=f"{label}: no answer {age(age_s)} ago"
        )
    value = milliseconds(rtt_ns)
    title = f"{label}: {value}, measured {age(age_s)} ago"
    return Badge(label=label, message=value + old, tone=Tone.UNKNOWN if stale else _tone(rtt_ns), title=title)


def age(seconds: float) -> str:
    """A stretch of time in the largest unit that fits.

    >>> age(4), age(90), age(7200), age(200_000)
    ('4 s', '1 min', '2 h', '2 d')
    """
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{int(seconds // length)} {unit}"
    return f"{int(seconds)} s"


def svg(badge: Badge) -> str:
    """The badge as a valid SVG image, 20 px high."""
    label, message = _short(badge.label), _short(badge.message)
    left, right = _width(label), _width(message)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + right:g}" height="{_HEIGHT}" role="img" '
        f'aria-label="{text(badge.title)}"><title>{text(badge.title)}</title>'
        f'<rect width="{left + right:g}" height="{_HEIGHT}" rx="3" fill="#24292f"/>'
        f'<path d="M{left:g} 0h{right - 3:g}a3 3 0 0 1 3 3v14a3 3 0 0 1-3 3h-{right - 3:g}z" fill="{badge.tone}"/>'
        f'<g fill="#fff" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11">'
        f"{_words(label, 0, left)}{_words(message, left, right)}</g></svg>"
    )


def shields(badge: Badge) -> dict[str, object]:
    """The badge for shields.io's endpoint, which asks no sooner than every 300 s."""
    return {
        "schemaVersion": 1, "label": badge.label, "message": badge.message, "color": SHIELDS[badge.tone],
        "isError": badge.is_error, "cacheSeconds": 300,
    }  # fmt: skip


def milliseconds(ns: int) -> str:
    """Nanoseconds in few figures, with their unit."""
    value = ns / NS_PER_MS
    return f"{value:.2f} ms" if value < 10 else f"{value:.1f} ms" if value < 100 else f"{value:.0f} ms"


def _tone(rtt_ns: int) -> Tone:
    value = rtt_ns / NS_PER_MS
    return Tone.GOOD if value < 20 else Tone.FAIR if value < 50 else Tone.SLOW if value < 100 else Tone.BAD


def _short(words: str) -> str:
    return words if len(words) <= _LONGEST else words[: _LONGEST - 1] + "…"


def _wide(sign: str) -> bool:
    return unicodedata.east_asian_width(sign) in {"W", "F"}


def _width(words: str) -> float:
    return round(sum(_WIDE if _wide(sign) else _NARROW for sign in words) + 2 * _PADDING, 1)


def _words(words: str, left: float, width: float) -> str:
    length = width - 2 * _PADDING
    return f'<text x="{left + _PADDING:g}" y="14" textLength="{length:g}" lengthAdjust="spacingAndGlyphs">{text(words)}</text>'
