"""RIPE Atlas: one-off measurements from its probes, paid with credits of the key's account.

Published (November 2026): a result costs 1 credit a packet of ping and 10 a packet of traceroute, one-offs twice that; at
most 1,000,000 credits a day. Our own limit is far lower unless NETTRACE_ATLAS_CREDITS_DAY says otherwise.
"""

import re
from collections.abc import Mapping
from urllib.parse import urlencode

from msgspec.structs import replace

from nettrace.errors import Invalid, NetTraceError, SourceError, Unauthenticated, Unreachable
from nettrace.model.instant import NS_PER_S
from nettrace.model.measurement import Measurement, Outcome, Reason
from nettrace.model.remote import Cost, Errand, RemoteResult, ThirdPartyProbe
from nettrace.outside import places
from nettrace.outside.allowance import Window
from nettrace.outside.remote import Found, World, fingerprint, limit_of, public, refused
from nettrace.outside.rest import Reply, Rest
from nettrace.wire.atlas import Malformed, read_atlas
from nettrace.wire.atlas_request import (
    chosen_of,
    creation_body,
    credits_of,
    read_balance,
    read_created,
    read_probes,
    read_progress,
)
from nettrace.wire.globalping import empty

ADDRESS = "https://atlas.ripe.net"
CREDITS_DAY = 1_000_000
OWN_CREDITS_DAY = 21_600
"""What hosting one probe earns a day: the limit as long as the user sets no other."""

WINDOW_S = 86_400
NEAR_KM = 50
LOOK_S = 5.0
PATIENCE_S = 180
REFUSALS = frozenset({400, 401, 402, 403, 404, 405, 413, 415, 422, 429})
_ASN = re.compile(r"as(\d{1,10})", re.IGNORECASE)
_COUNTRY = re.compile(r"[A-Za-z]{2}")


class RipeAtlas:
    """A client of RIPE Atlas' API; one object may serve many errands."""

    def __init__(self, world: World, environ: Mapping[str, str]) -> None:
        """`environ`: NETTRACE_ATLAS_KEY, and NETTRACE_ATLAS_CREDITS_DAY and NETTRACE_ATLAS_URL, which are optional."""
        key = environ.get("NETTRACE_ATLAS_KEY") or None
        if key is None:
            raise Unauthenticated(
                "RIPE Atlas measures for nobody without a key",
                "Set NETTRACE_ATLAS_KEY, or use --via globalping, which needs none",
            )
        self._world = world
        self._rest = Rest(environ.get("NETTRACE_ATLAS_URL") or ADDRESS, {"Authorization": f"Key {key}"})
        wanted = environ.get("NETTRACE_ATLAS_CREDITS_DAY")
        limit = limit_of(wanted, "NETTRACE_ATLAS_CREDITS_DAY", CREDITS_DAY) if wanted else OWN_CREDITS_DAY
        self._window = Window(
            service="atlas", account=fingerprint(key), unit="credits", seconds=WINDOW_S, limit=limit
        )
        self._chosen: dict[Errand, list[ThirdPartyProbe]] = {}

    def standing(self) -> Cost:
        """What is left; the balance counts where the key may see it."""
        mark = self._world.allowance.mark(self._window)
        reply = self._rest.get("/api/v2/credits/")
        if reply.status == 200:
            self._world.allowance.heard(self._window, max(0, read_balance(reply.json())), WINDOW_S, mark)
        elif reply.status != 403:  # a key may create measurements without seeing the balance
            raise refused("RIPE Atlas", reply, reply.number("Retry-After"))
        return Cost(
            service="atlas", unit="credits", window_s=WINDOW_S, amount=0, limit=self._window.limit,
            left=self._world.allowance.left(self._window),
        )  # fmt: skip

    def cost(self, errand: Errand) -> Cost:
        """Credits of the probes that are there now."""
        public(errand.target)
        probes = self._probes(errand)
        return replace(self.standing(), amount=credits_of(errand, len(probes)))

    def run(self, errand: Errand) -> Found:
        """Reserve, create, wait and read; a probe that said nothing in three minutes is `vantage_down`.

        Raises:
            QuotaExceeded, Invalid, Unauthenticated, Unreachable, SourceError: as of Globalping.
        """
        named = not public(errand.target)
        probes = self._probes(errand)
        body = creation_body(errand, [_number(probe) for probe in probes], named=named)
        taken = credits_of(errand, len(probes))
        reservation = self._world.allowance.reserve(self._window, taken)
        number = self._create(body, reservation)
        measured, notes, each = self._wait_for(number, len(probes))
        if each is not None and each * len(probes) > taken:
            taken = each * len(probes)
            notes.append(f"the service takes {taken} credits, more than it publishes")
        self._world.allowance.settle(reservation, taken)
        return Found(
            number=f"atlas:{number}",
            results=self._matched(errand, probes, measured),
            taken=taken,
            notes=tuple(notes),
        )

    def _create(self, body: object, reservation: int) -> int:
        reply = self._rest.post("/api/v2/measurements/", body)
        if reply.status in REFUSALS:
            self._world.allowance.release(reservation)
            raise refused("RIPE Atlas", reply, reply.number("Retry-After"))
        if reply.status != 201:
            raise Unreachable(f"RIPE Atlas answered {reply.words()} ({reply.status})", "Try again later")
        return read_created(reply.json())

    def _wait_for(self, number: int, wanted: int) -> tuple[dict[str, Measurement], list[str], int | None]:
        """(results by vantage, notes, credits a result), complete or as far as patience goes."""
        until = self._world.now() + PATIENCE_S * NS_PER_S
        found: dict[str, Measurement] = {}
        each: int | None = None
        problem: NetTraceError | None = None
        malformed: list[str] = []
        while self._world.now() < until:
            self._world.sleep(LOOK_S)
            try:
                reply = self._asked(f"/api/v2/measurements/{number}/results/?format=json")
                items = list(read_atlas([reply.body]))
                malformed = [
                    f"result {item.line}: {item.why}" for item in items if isinstance(item, Malformed)
                ]
                read = [item.measurement for item in items if not isinstance(item, Malformed)]
                found = {measurement.vantage or "": measurement for measurement in read}
                progress = read_progress(self._asked(f"/api/v2/measurements/{number}/").json())
                each, problem = progress.credits_per_result, None
                if len(found) >= wanted or progress.over:
                    break
            except (Unreachable, SourceError) as trouble:
                problem = trouble
        if not found and problem is not None:
            raise problem
        return found, malformed + ([problem.detail] if problem else []), each

    def _asked(self, path: str) -> Reply:
        """The reply to a GET that succeeded; being asked to wait is waited for."""
        reply = self._rest.get(path)
        if reply.status == 200:
            return reply
        if reply.status == 429:
            self._world.sleep(float(min(reply.number("Retry-After") or 30, PATIENCE_S)))
        raise Unreachable(f"RIPE Atlas answered {reply.words()} ({reply.status})", "Try again later")

    def _matched(
        self, errand: Errand, probes: list[ThirdPartyProbe], found: dict[str, Measurement]
    ) -> tuple[RemoteResult, ...]:
        """One result a probe, in the order they were chosen."""
        silent = {
            "target": errand.target, "address": None, "at": self._world.now(), "outcome": Outcome.NOT_MEASURED,
            "reason": Reason.VANTAGE_DOWN, "detail": "the probe sent no result",
        }  # fmt: skip
        return tuple(
            RemoteResult(
                probe=probe,
                measurement=found.get(probe.code) or empty(errand, {**silent, "vantage": probe.code}),
            )
            for probe in probes
        )

    def _probes(self, errand: Errand) -> list[ThirdPartyProbe]:
        """The connected probes an errand would use: the same for its cost and for its run."""
        if errand not in self._chosen:
            creation_body(errand, [], named=False)  # what Atlas cannot do is said before anything is asked
            chosen: dict[str, ThirdPartyProbe] = {}
            for place in errand.places:
                for probe in self._at(place, errand):
                    chosen.setdefault(probe.code, probe)
            self._chosen[errand] = list(chosen.values())
        return self._chosen[errand]

    def _at(self, place: str, errand: Errand) -> list[ThirdPartyProbe]:
        reply = self._rest.get(f"/api/v2/probes/?{urlencode(_selection(place))}")
        if reply.status != 200:
            raise refused("RIPE Atlas", reply, reply.number("Retry-After"))
        found = chosen_of(read_probes(reply.json(), errand.family or 4), errand.probes)
        if not found:
            raise Invalid(
                f"RIPE Atlas has no connected probe at {place!r}", "Name another place or --via globalping"
            )
        return found


def _selection(place: str) -> dict[str, str]:
    """A place as filters of the probe listing: a network, a country, or what lies within 50 km of a city."""
    shared = {"status": "1", "page_size": "100"}
    if network := _ASN.fullmatch(place):
        return shared | {"asn": network[1]}
    if _COUNTRY.fullmatch(place):
        return shared | {"country_code": place.upper()}
    known = places.find(place.replace("+", ","))
    if known is None:
        raise Invalid(
            f"{place!r} is no known place", "See docs/guides/places.md; or AS16509, or a country's code"
        )
    return shared | {"radius": f"{known.latitude:.4f},{known.longitude:.4f}:{NEAR_KM}"}


def _number(probe: ThirdPartyProbe) -> int:
    return int(probe.code.partition(":")[2])
