"""Places read from router names such as `ae-1.r20.tokyjp05.jp.bb.gin.ntt.net`.

A hint is a guess: operators reuse names, and `core` is not Corfu. So codes are believed only where operators
write them, words of the trade never are, and whoever uses a hint checks it against light. The idea is that of
DRoP (Huffaker et al., CCR 2014) and Hoiho (Luckie et al., CoNEXT 2021): a table of codes and the shape of names.
"""

import re
from collections.abc import Mapping

import msgspec

from nettrace.model.path import Place

CODE_RADIUS_KM = 40.0
"""A code names a city with its suburbs; the router may stand anywhere there."""

TRADE = frozenset(
    """
    acc ada add adm agg ala alg ank aus bar bng bri bur cab can car cgn cor cpe cor dar del des dia dsl eap ebr
    ear edg edge ext fac fib for gat geo gig got gw han hop hub ind int isl isp ist lab lag lan lin link loc los
    low mac mar max med mgm mid mob mpr mse nap nat net nic noc ont opt ora ore out pac pat per pop pos pri pub rad
    rec red rep res rev rif run sal san sat sba ser set sip slb ssa ssh str sub sup sur svc svd tap tel ter the
    tip top tor tun van var via vip vpn wan war was web wil win wlc
    bari cali cork leon nice reno roma rome salvador victoria aurora newport durham
    """.split()
)
"""Words of the trade and of English that are airport codes or cities too: believed only in the operator's own
table, or, numbered, where a country stands beside them."""

SOLD_TO_ANYBODY = frozenset(
    {"ai", "cc", "co", "eu", "fm", "gg", "im", "io", "is", "la", "ly", "me", "nu", "to", "tv", "ws"}
)
"""Country domains that say nothing of a country."""

ACCESS_WORDS = (
    "dynamic",
    "dyn-",
    "dyn.",
    "customer",
    "cust-",
    "-cust",
    "cust.",
    "static",
    "dsl",
    "cable",
    "pool",
)
"""In automatic names of subscriber lines, whose codes name the region office, not the line."""

_WORD = re.compile(r"([a-z]+)(\d*)")
_ROLE_FIRST = re.compile(r"[a-z]{1,3}\d{1,2}(?=[a-z]{3})")
_ROLE_BEHIND = re.compile(r"[a-z]?|(?:bb|br|cr|er|isp|p|pe|r|ra|rc|ri|rr|rt|sw)\d+")
_INTERFACE = re.compile(
    r"(?:ae|be|bundle|e|et|eth|fe|fo|ge|gi|gig|hu|hundredgige|lo|pc|po|port|so|te|tengige|tu|twe|ve|vl|vlan|xe)[-_]?\d"
)
_PARTS = re.compile(r"[-_/: ]+")
_CLLI_LENGTHS = (6, 8, 11)


class RouterCodes(msgspec.Struct, frozen=True):
    """What words in router names mean.

    Attributes:
        own: (domain, code) -> place: what one operator means by a code; the domain is its last two labels.
        codes: three- or four-letter code -> place, as many operators use it.
        clli: six letters -> place, four for the city and two for the state or country, as North American
            carriers and NTT write them (Telcordia's Common Language).
        names: whole city name in lower-case letters without blanks -> place.
    """

    own: Mapping[tuple[str, str], Place]
    codes: Mapping[str, Place]
    clli: Mapping[str, Place]
    names: Mapping[str, Place]


def hinted_place(name: str, tables: RouterCodes) -> Place | None:
    """The place a router's name speaks of, or None; `evidence` says from which word it was read.

    Names run from interface to router to site to domain, so of two hints the one farther right counts: it is
    the router's own, the other one often its neighbour's.
    """
    name = name.lower().strip(".")
    labels = name.split(".")
    if len(labels) < 3 or _is_subscriber(labels):
        return None
    domain = ".".join(labels[-2:])
    countries = _countries(labels)
    site = labels[: labels.index("p2p")] if "p2p" in labels else labels[:-2]  # behind it stands the neighbour
    for label in reversed(site):
        parts = [part for part in _PARTS.split(label) if part]
        for part in parts:
            outer = part in (parts[0], parts[-1])
            place = _read(part, domain, countries, tables, outer=outer)
            if place is not None:
                return msgspec.structs.replace(place, evidence=f"rdns: {part} in {name}")
    return None


class _Countries(msgspec.Struct, frozen=True):
    """What a name says of countries: `written` as words of their own, `home` by its top-level domain."""

    written: frozenset[str]
    home: str | None


def _read(part: str, domain: str, countries: _Countries, tables: RouterCodes, *, outer: bool) -> Place | None:
    """What one part of a label means, read as `fra12`, `zrh03a` or `ffm1rt15`, then as `r1zrh12`."""
    behind = _ROLE_FIRST.match(part)
    for text in (part, part[behind.end() :] if behind else ""):
        match = _WORD.match(text)
        if match is None:
            continue
        own = tables.own.get((domain, match[1]))
        if own is not None:
            return own
        if (
            not match[2] and not outer
        ):  # operators write the site first or last; what stands between is a role
            continue
        if len(match[1]) == 3 and not _ROLE_BEHIND.fullmatch(text[match.end() :]):
            continue
        common = _common(match[1], tables)
        if common is not None and _believed(common, match[1], match[2], countries):
            return common
    return None


def _believed(place: Place, word: str, number: str, countries: _Countries) -> bool:
    """Words of the trade need a number and their country beside them; the rest must not contradict the domain."""
    confirmed = place.country in countries.written
    if word in TRADE:
        return bool(number) and confirmed
    return confirmed or countries.home in (None, place.country)


def _common(word: str, tables: RouterCodes) -> Place | None:
    if len(word) in _CLLI_LENGTHS and word[:6] in tables.clli and word not in tables.names:
        return tables.clli[word[:6]]
    if len(word) >= 4 and word in tables.names:
        return tables.names[word]
    return tables.codes.get(word)


def _countries(labels: list[str]) -> _Countries:
    words = {part for label in labels[:-1] for part in _PARTS.split(label)}
    written = {_iso(word) for word in words if len(word) == 2 and word.isalpha()}
    last = labels[-1]
    home = _iso(last) if len(last) == 2 and last not in SOLD_TO_ANYBODY else None
    return _Countries(frozenset(written), home)


def _iso(code: str) -> str:
    return "GB" if code == "uk" else code.upper()


def _is_subscriber(labels: list[str]) -> bool:
    """Whether the name was made from an address for a subscriber's line."""
    head = ".".join(labels[:-2])
    if any(word in head for word in ACCESS_WORDS):
        return True
    if _INTERFACE.match(head):
        return False
    numbers = [int(number) for number in re.findall(r"\d{1,3}", head)]
    automatic = re.match(r"\D{0,6}\d+[-.]\d+[-.]\d+[-.]\d+", head)
    return automatic is not None and all(number < 256 for number in numbers[:4])
