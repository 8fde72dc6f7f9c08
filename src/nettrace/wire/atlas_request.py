"""RIPE Atlas' REST shapes (API v2) for one-off measurements: what is asked, what it costs, which probes there are.

Sources: the REST API manual and the credit system's page of atlas.ripe.net, read November 2026. Results are read by
`wire.atlas`.
"""

from typing import Annotated, Any, TypeVar

import msgspec

from nettrace.errors import Invalid, SourceError
from nettrace.model.measurement import Method
from nettrace.model.remote import Errand, ThirdPartyProbe

ONE_OFF = 2
"""A one-off measurement costs twice what a result of a periodic one does."""

TRACE_PACKETS = 3
MOST_PACKETS = 16
MOST_PROBES = 500
_T = TypeVar("_T")


class _Point(msgspec.Struct):
    coordinates: tuple[float, float] | None = None


class _Probe(msgspec.Struct, kw_only=True):
    id: Annotated[int, msgspec.Meta(ge=1)]
    asn_v4: int | None = None
    asn_v6: int | None = None
    country_code: str | None = None
    is_anchor: bool = False
    geometry: _Point | None = None


class _Probes(msgspec.Struct):
    results: list[_Probe]


class _Created(msgspec.Struct):
    measurements: Annotated[list[Annotated[int, msgspec.Meta(ge=1)]], msgspec.Meta(min_length=1)]


class _Balance(msgspec.Struct):
    current_balance: int


class _Status(msgspec.Struct, frozen=True):
    id: int = 0
    name: str = ""


class Progress(msgspec.Struct, kw_only=True):
    """How a measurement stands.

    Attributes:
        status: 0 specified, 1 scheduled, 2 ongoing, 4 stopped, and from 5 on failed in one way or another.
        credits_per_result: what each result costs by the service's own word, without the factor of one-offs.
    """

    status: _Status = _Status()
    credits_per_result: int | None = None

    @property
    def over(self) -> bool:
        """Nothing more will come."""
        return self.status.id >= 4


def credits_of(errand: Errand, results: int) -> int:
    """What so many results of a one-off errand cost, as published: ping 1 a packet, traceroute 10 a packet, doubled.

    >>> credits_of(Errand(kind="ping", target="api.example", places=("Tokyo",), packets=3), 5)
    30
    """
    each = errand.packets if errand.kind == "ping" else 10 * TRACE_PACKETS
    return each * ONE_OFF * results


def creation_body(errand: Errand, probes: list[int], *, named: bool) -> dict[str, Any]:
    """The body of `POST /api/v2/measurements/`: one definition, exactly these probes, once.

    Args:
        errand: what is to be measured.
        probes: the numbers of the probes.
        named: the target is a name: each probe resolves it where it stands.

    Raises:
        Invalid: what Atlas does not measure.
    """
    if errand.most_results > MOST_PROBES:
        raise Invalid(f"more than {MOST_PROBES} probes are not asked at once", "Ask for fewer")
    if errand.kind == "http":
        raise Invalid("RIPE Atlas measures HTTP of its own anchors only", "Use --via globalping")
    if errand.kind == "ping" and (
        errand.method is not Method.ICMP or not 1 <= errand.packets <= MOST_PACKETS
    ):
        raise Invalid(
            f"RIPE Atlas pings with icmp, 1 to {MOST_PACKETS} packets", "Use --via globalping for tcp"
        )
    definition: dict[str, Any] = {
        "type": "ping" if errand.kind == "ping" else "traceroute",
        "target": errand.target,
        "af": errand.family or 4,
        "description": f"NetTrace {errand.kind} {errand.target}",
        "resolve_on_probe": named,
        "packets": errand.packets if errand.kind == "ping" else TRACE_PACKETS,
    }
    if errand.kind == "trace":
        definition["protocol"] = errand.method.upper()
        if errand.method is Method.TCP:
            definition["port"] = errand.port or 443
    chosen = ",".join(map(str, probes))
    return {
        "definitions": [definition],
        "probes": [{"type": "probes", "value": chosen, "requested": len(probes)}],
        "is_oneoff": True,
    }


def read_probes(raw: object, family: int) -> list[tuple[ThirdPartyProbe, bool]]:
    """The probes of a listing that have this family, each with whether it is an anchor."""
    made: list[tuple[ThirdPartyProbe, bool]] = []
    for probe in _shaped(raw, _Probes).results:
        asn = probe.asn_v6 if family == 6 else probe.asn_v4
        if asn is None:
            continue
        longitude, latitude = (probe.geometry and probe.geometry.coordinates) or (None, None)
        found = ThirdPartyProbe(
            code=f"atlas:{probe.id}", service="atlas", country=probe.country_code, asn=asn,
            latitude=latitude, longitude=longitude,
        )  # fmt: skip
        made.append((found, probe.is_anchor))
    return made


def chosen_of(found: list[tuple[ThirdPartyProbe, bool]], wanted: int) -> list[ThirdPartyProbe]:
    """So many probes: anchors first, then each network once before any twice, lowest numbers first."""
    ranked = sorted(found, key=lambda each: (not each[1], int(each[0].code.partition(":")[2])))
    rounds: dict[int | None, int] = {}
    order: list[tuple[int, int, ThirdPartyProbe]] = []
    for place, (probe, _) in enumerate(ranked):
        rounds[probe.asn] = rounds.get(probe.asn, 0) + 1
        order.append((rounds[probe.asn], place, probe))
    return [probe for _, _, probe in sorted(order, key=lambda each: each[:2])[:wanted]]


def read_created(raw: object) -> int:
    """The new measurement's number."""
    return _shaped(raw, _Created).measurements[0]


def read_balance(raw: object) -> int:
    """Credits on the account."""
    return _shaped(raw, _Balance).current_balance


def read_progress(raw: object) -> Progress:
    """How the measurement stands."""
    return _shaped(raw, Progress)


def _shaped(raw: object, shape: type[_T]) -> _T:
    try:
        return msgspec.convert(raw, shape)
    except msgspec.ValidationError as problem:
        raise SourceError(f"RIPE Atlas' answer has another shape: {problem}") from None
