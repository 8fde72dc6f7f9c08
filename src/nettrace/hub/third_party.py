"""Other people's vantages in a hub: which of its targets an errand means, and how what their probes found is stored.

A probe becomes a vantage by the door a node comes through, with a one-time token that nobody ever sees; its code
(`globalping:tokyo-jp-as16509`) has a colon, which no node's can have. Its key is thrown away: nobody can report as it
from outside.
"""

import hashlib
import secrets
from collections.abc import Iterable, Sequence

import msgspec

from nettrace.errors import Conflict, Invalid
from nettrace.hub.enrolment import token_hash
from nettrace.hub.keys import ENROL, identifier, mint
from nettrace.hub.link import HubWriter
from nettrace.model.instant import NS_PER_S, Instant
from nettrace.model.measurement import HttpExchange, Method, Ping
from nettrace.model.path import Trace
from nettrace.model.remote import Errand, RemoteResult, ThirdPartyProbe
from nettrace.model.target import Endpoint, Lifecycle, RoundMethod, Target
from nettrace.model.vantage import Vantage, VantageState
from nettrace.placement.estimates.lent import Look
from nettrace.store.port import Choice, EnrolToken, StoreReader
from nettrace.store.rows import Round, Window
from nettrace.wire.frames import Record, Report

_TOKEN_LIFE_NS = 60 * NS_PER_S
_PINGS = (RoundMethod.ICMP, RoundMethod.TCP, RoundMethod.UDP)
_MOST_LOOKS = 10_000
"""Newest rounds read as evidence: an hour's allowance is a few hundred."""
_METHODS = {"trace": RoundMethod.TRACE, "http": RoundMethod.HTTP}


class Meant(msgspec.Struct, frozen=True):
    """The series of the hub an errand's results belong to, but for the vantage."""

    target: str
    endpoint: str
    method: RoundMethod


def meant(targets: Iterable[Target], errand: Errand) -> Meant:
    """The hub's own target and endpoint that an errand measures: the very host, and the port or URL where it has one.

    Raises:
        Invalid: it measures nothing that this hub watches, so its results would stand beside nothing.
    """
    for target in sorted(targets, key=lambda each: each.host):
        if target.account is not None or target.lifecycle is Lifecycle.RETIRED:
            continue
        for endpoint in target.endpoints:
            if _is(endpoint, errand):
                method = _METHODS.get(errand.kind) or RoundMethod(errand.method.value)
                return Meant(target.host, endpoint.name, method)
    raise Invalid(
        f"this hub has no target with an endpoint at {errand.url or errand.target}",
        "'nettrace targets list' shows them; leave out --store to only look",
    )


def _is(endpoint: Endpoint, errand: Errand) -> bool:
    if errand.kind == "http":
        return endpoint.url is not None and endpoint.url == errand.url
    if endpoint.host != errand.target.lower():
        return False
    return errand.method is not Method.TCP or (errand.port or 443) == endpoint.port


def keep(
    writer: HubWriter, where: Meant, results: Sequence[RemoteResult], number: str, now: Instant
) -> tuple[str, ...]:
    """Store what the probes of one measurement found; the vantages' codes.

    `number`, the service's name for the measurement, is the epoch of the reports: doing it again changes nothing.

    Raises:
        Conflict: the operator has revoked one of the vantages; nothing of any is stored then.
        NetTraceError: the hub could not store it.
    """
    by_code: dict[str, list[RemoteResult]] = {}
    for result in results:
        by_code.setdefault(result.probe.code, []).append(result)
    known = {each.node: each for each in writer.known_nodes()}
    refuse_revoked(known.values(), by_code)
    for code, found in by_code.items():
        _enrol(writer, known.get(code), found[0].probe, now)
        writer.take(_report(code, where, found, number, now))
    return tuple(by_code)


def kept_looks(reader: StoreReader, window: Window) -> list[Look]:
    """What the probes whose rounds a hub keeps saw of each host they pinged, of those that say where they stand."""
    vantages = {row.vantage.code: row.vantage for row in reader.nodes() if row.vantage.third_party}
    if not vantages:
        return []
    hosts = {
        (target.host, endpoint.name): endpoint.host
        for target in reader.targets()
        for endpoint in target.endpoints
    }
    choice = Choice(vantages=tuple(vantages), methods=_PINGS)
    found: dict[tuple[str, str], list[Round]] = {}
    for each in reader.rounds(choice, window, limit=_MOST_LOOKS, newest_first=True):
        host = hosts.get((each.series.target, each.series.endpoint))
        if host is not None and any(each.samples_ns):
            found.setdefault((each.series.vantage, host), []).append(each)
    looks: list[Look] = []
    for (code, host), rounds in found.items():
        place = vantages[code]
        if place.latitude is None or place.longitude is None:
            continue
        rtts = tuple(rtt for each in rounds for rtt in each.samples_ns if rtt)
        looks.append(
            Look(code=code, host=host, latitude=place.latitude, longitude=place.longitude, rtts_ns=rtts,
                 at=max(each.at for each in rounds))
        )  # fmt: skip
    return looks


def refuse_revoked(known: Iterable[Vantage], codes: Iterable[str]) -> None:
    """Nothing, unless the operator wants nothing from one of these vantages.

    Raises:
        Conflict: so it is.
    """
    gone = {each.code for each in known if each.state is VantageState.REVOKED}
    for code in codes:
        if code in gone:
            raise Conflict(f"the vantage '{code}' is revoked at this hub", f"nettrace fleet activate {code}")


def _enrol(writer: HubWriter, known: Vantage | None, probe: ThirdPartyProbe, now: Instant) -> None:
    place = (probe.city, probe.country, probe.latitude, probe.longitude)
    if known is not None and place == (known.city, known.country, known.latitude, known.longitude):
        return
    token = mint(ENROL)
    writer.put_token(
        EnrolToken(
            id=identifier("tok_"), hash=token_hash(token), region=probe.code, created_at=now,
            expires_at=now + _TOKEN_LIFE_NS,
        )
    )  # fmt: skip
    vantage = Vantage(
        code=probe.code, node=probe.code, city=probe.city, country=probe.country, latitude=probe.latitude,
        longitude=probe.longitude, enrolled_at=now,
    )  # fmt: skip
    writer.enrol(token_hash(token), vantage, hashlib.sha256(secrets.token_bytes(32)).digest(), now)


def _report(code: str, where: Meant, found: Sequence[RemoteResult], number: str, now: Instant) -> Report:
    records: list[Record] = []
    last = 0
    for seq, result in enumerate(sorted(found, key=lambda each: each.measurement.at), start=1):
        last = max(last + 1, result.measurement.at)  # two probes of one town and network are two rounds
        made = result.measurement
        if not isinstance(made, Ping | Trace | HttpExchange):
            raise TypeError(f"a service answered a {type(made).__name__}")
        records.append(
            Record(
                seq=seq, target=where.target, endpoint=where.endpoint, method=where.method, due=last,
                measurement=made,
            )
        )  # fmt: skip
    return Report(
        node=code, epoch=number, first_seq=1, entries=tuple(records), sent_at=now,
        methods={where.method.value: "third party"},
    )  # fmt: skip
