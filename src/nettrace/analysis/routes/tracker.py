"""Follows the route of one pair, trace by trace, and says when it has changed.

Silence is never evidence, private hops and the target itself are none either, and a change is declared only when
further traces agree. What was new and did not come again is learnt as load balancing. State is bounded.
"""

from collections.abc import Collection

import msgspec

from nettrace.analysis.routes.consequence import rtt_consequence
from nettrace.analysis.routes.regime import Regime
from nettrace.analysis.routes.sight import AsnOf, Sight, sight, together
from nettrace.model.path import Trace
from nettrace.model.route import Route, RouteChange, RouteClass

WARM_UP = 4
"""Traces learnt before anything is judged."""

PATIENCE = 3
"""Traces that show the old route again before a suspicion is dropped."""

MOST_SIGHTS = 6
MOST_FORMER = 8

STRONG, SINGLE, ENOUGH = 6, 4, 12
"""Evidence in one trace, and what declares a change: two strong traces, three with one contested hop each; half of
it counts on a flow or towards a target's network that the route was never traced on."""

_LEAST_NEW = 2
_LEAST_REPLACED = 3
_LEAST_SHARE = 0.25
_AGREE = 0.5
_SAME = 0.8


class Candidate(msgspec.Struct, kw_only=True):
    """A suspected new route.

    Attributes:
        networks: what was new in its traces -> in how many of them.
        missing: networks of the old route that others had replaced -> in how many traces.
        weight: evidence so far.
        agreed: traces that agreed with the first.
        as_level: traces in which the AS path differed.
        denials: traces since then that showed the old route.
        last: evidence in the latest trace.
    """

    networks: dict[str, int] = {}
    missing: dict[str, int] = {}
    sights: list[Sight] = []
    weight: int = 0
    agreed: int = 0
    as_level: int = 0
    denials: int = 0
    last: int = 0

    def add(self, regime: Regime, seen: Sight, weight: int, *, agrees: bool = False) -> None:
        """Take a suspicious trace in; it counts when it agrees with those before, as their hops say or as was found."""
        new, missing = set(regime.novel(seen).values()), regime.conflicts(seen)
        agrees |= _share(new, self.networks) >= _AGREE or _share(missing, self.missing) >= _AGREE
        if agrees or not self.sights:
            self.weight += weight
            self.agreed += 1
        self.last = weight
        self.sights.append(seen)
        self.as_level += regime.new_as(seen)
        for counts, more in ((self.networks, new), (self.missing, missing)):
            for each in more:
                counts[each] = counts.get(each, 0) + 1

    def complete(self, regime: Regime, last: Sight, whole: Sight, joint: int) -> None:
        """Give the last trace what it lacked of the evidence that it and the next are together."""
        self.weight += max(0, joint - self.last)
        self.as_level += regime.new_as(whole) and not regime.new_as(last)

    def shared_by(self, regime: Regime, seen: Sight) -> bool:
        """Whether a trace that would prove little by itself crosses something that was new in the others."""
        return not self.networks.keys().isdisjoint(regime.novel(seen).values())

    def denied_by(self, seen: Sight) -> bool:
        """Whether an unsuspicious trace shows the old route, rather than only too little of the new one."""
        return not self.missing or not self.missing.keys().isdisjoint(seen.networks.values())

    def kind(self, regime: Regime) -> RouteClass:
        """What changed."""
        if all(seen.destination not in regime.destinations for seen in self.sights):
            return RouteClass.DESTINATION
        return RouteClass.AS_PATH if 2 * self.as_level > len(self.sights) else RouteClass.IP_PATH


class _State(msgspec.Struct, kw_only=True):
    regime: Regime | None = None
    candidate: Candidate | None = None
    held: Sight | None = None
    former: list[Regime] = []


class RouteTracker:
    """The route of one vantage, target and method, followed trace by trace."""

    def __init__(self) -> None:
        self._state = _State()

    @classmethod
    def restore(cls, snapshot: bytes) -> "RouteTracker":
        """A tracker that goes on where the one that made the snapshot stopped."""
        made = cls()
        made._state = msgspec.msgpack.decode(snapshot, type=_State)
        return made

    def snapshot(self) -> bytes:
        """Everything the tracker knows, for `restore`; its size is bounded."""
        return msgspec.msgpack.encode(self._state)

    @property
    def current(self) -> Route | None:
        """The route in force, or None while the first traces are being learnt."""
        regime = self._state.regime
        return None if regime is None or regime.id is None else regime.route()

    def feed(self, trace: Trace, asn_of: AsnOf | None = None) -> RouteChange | None:
        """Take the pair's next trace; the change it proves, or None.

        Args:
            trace: of the same vantage, target and method as all before, not older than the last.
            asn_of: address -> AS, for hops that have not been annotated; without any AS there is no `as_path`.
        """
        seen = sight(trace, asn_of)
        if seen is None:
            return None
        state = self._state
        if state.regime is None:
            state.regime = Regime(since=seen.at)
        regime = state.regime
        if regime.id is None:
            regime.learn(seen)
            if regime.scans >= WARM_UP:
                regime.name()
            return None
        weight = _evidence(regime, seen, state.former)
        if not weight and state.candidate is not None and state.candidate.shared_by(regime, seen):
            weight = SINGLE
        whole, joint = self._jointly(regime, seen)
        weight = max(weight, joint)
        if not weight:
            if state.candidate is None and regime.strange(seen):
                state.held = seen  # too little by itself, perhaps not with the next
                return None
            return self._unsuspicious(regime, trace, seen)
        candidate = state.candidate = state.candidate or Candidate()
        candidate.add(regime, whole, weight, agrees=joint > 0)
        if candidate.weight >= ENOUGH:
            return self._declare(regime, candidate, trace)
        return self._absorb(regime, candidate, trace) if len(candidate.sights) >= MOST_SIGHTS else None

    def _jointly(self, regime: Regime, seen: Sight) -> tuple[Sight, int]:
        """The trace with what the one before heard where it heard nothing, and the evidence in both as one look.

        Hops keep silent at random: two traces of one new path may each show another half of it. They are taken
        together when they contradict each other nowhere and share a step the route never took; on a settled route, where
        nothing strange is balancing, each needs one only. One held back that is no evidence even so is learnt.
        """
        state = self._state
        candidate, held, state.held = state.candidate, state.held, None
        before = held if candidate is None else candidate.sights[-1]
        if before is None:
            return seen, 0
        strange, other = regime.strange(seen), regime.strange(before)
        akin = bool(strange and other) if regime.settled else not strange.isdisjoint(other)
        whole = together(seen, before) if akin else None
        joint = 0 if whole is None else _evidence(regime, whole, state.former)
        if not joint and regime.settled and not regime.novel(seen).keys().isdisjoint(regime.novel(before)):
            joint = SINGLE  # never on this flow before, and now twice running
        if whole is None or not joint:
            if held is not None:
                regime.learn(held)
            return seen, 0
        if candidate is None:
            candidate = state.candidate = Candidate()
            candidate.add(regime, before, joint)
        candidate.complete(regime, before, whole, joint)
        return whole, joint

    def _unsuspicious(self, regime: Regime, trace: Trace, seen: Sight) -> RouteChange | None:
        change, candidate = None, self._state.candidate
        if candidate is not None and candidate.denied_by(seen):
            candidate.denials += 1
            if len(regime.flows) == 1 and any(seen.flow == each.flow for each in candidate.sights):
                candidate.weight = candidate.agreed = 0  # the very flow is back on the old route
            if candidate.denials >= PATIENCE:
                change = self._absorb(regime, candidate, trace)
        regime.learn(seen)
        return change

    def _absorb(self, regime: Regime, candidate: Candidate, trace: Trace) -> RouteChange | None:
        """What was suspected did not last: the route is balanced over several ways. Told once a route."""
        self._state.candidate = None
        before, first = regime.route(), candidate.sights[0]
        for seen in candidate.sights:
            regime.learn(seen)
        if regime.balanced:
            return None
        regime.balanced = True
        return RouteChange(
            vantage=trace.vantage,
            target=trace.target,
            method=trace.method,
            at=first.at,
            detected_at=trace.at,
            kind=RouteClass.LOAD_BALANCING,
            before=before,
            after=msgspec.structs.replace(before, hops=first.hops, as_path=first.ases),
            confidence=0.5,
            traces=len(candidate.sights),
        )

    def _declare(self, old: Regime, candidate: Candidate, trace: Trace) -> RouteChange:
        sights, kind, before = candidate.sights, candidate.kind(old), old.route()
        delta, moved = rtt_consequence(
            old.rtts_ns, [seen.rtt_ns for seen in sights if seen.rtt_ns is not None]
        )
        former = _former(self._state.former, candidate)
        new = former or Regime()
        new.since = sights[0].at
        for seen in sights:
            new.learn(seen)
        self._replace(old, new)
        return RouteChange(
            vantage=trace.vantage,
            target=trace.target,
            method=trace.method,
            at=sights[0].at,
            detected_at=trace.at,
            kind=kind,
            before=before,
            after=new.route(),
            rtt_delta_ns=delta,
            rtt_moved=moved,
            confidence=1 - 0.5 ** (candidate.agreed + (kind is RouteClass.AS_PATH)),
            reverted=former is not None,
            traces=len(sights),
        )

    def _replace(self, old: Regime, new: Regime) -> None:
        """Put the new route in force. Two that alternate on rotating flows are one, balanced over both."""
        state = self._state
        if new in state.former:
            new.returns += 1
        state.former = [*[each for each in state.former if each is not new][1 - MOST_FORMER :], old]
        state.regime, state.candidate = new, None
        if new.returns > 1 and len(new.flows) > 1:
            new.absorb(old)


def _evidence(regime: Regime, seen: Sight, former: Collection[Regime]) -> int:
    """How much the trace speaks against the route; 0 when balancing, silence or a renumbered hop explain it."""
    new, conflicts = regime.novel(seen), regime.conflicts(seen)
    replaced = regime.replaced(seen)
    if not new and not conflicts and replaced < _LEAST_REPLACED:
        return 0
    if regime.scans < WARM_UP:  # declared just now and hardly known: only a former route is news
        return STRONG if any(_fits(each, seen) for each in former) else 0
    many, rebuilt = len(new) >= _LEAST_NEW, replaced >= _LEAST_REPLACED
    # something new stands before what was always there
    pushed = bool(new) and regime.displaced(seen) >= _LEAST_NEW
    if many and (len(new) >= _LEAST_SHARE * len(seen.networks) or pushed or regime.new_as(seen)):
        weight = STRONG
    elif conflicts or pushed or rebuilt:
        weight = STRONG if len(conflicts) > 1 or regime.settled or rebuilt else SINGLE
    else:
        return 0
    known = seen.flow in regime.flows and seen.destination in regime.destinations
    return weight if known else weight // 2


def _fits(regime: Regime, seen: Sight) -> bool:
    return not regime.novel(seen) and not regime.conflicts(seen)


def _former(former: Collection[Regime], candidate: Candidate) -> Regime | None:
    """The former route the candidate is a return to, or None."""
    crossed = {network for seen in candidate.sights for network in seen.networks.values()}
    for each in former:
        if each.holds(crossed) >= _SAME and each.holds(candidate.networks) >= _SAME:
            return each
    return None


def _share(these: set[str], those: Collection[str]) -> float:
    return sum(each in those for each in these) / len(these) if these else 0.0
