"""More probes are lost than this series is used to: Page's CUSUM for a share of lost probes.

    S <- max(0, S + ln(p1 / p0))              for a lost probe
    S <- max(0, S + ln((1 - p1) / (1 - p0)))  for an answered one

p0 is what the series is used to (never below 0.5 %), p1 the larger of 20 % and five times that. S beyond 7.5 begins an
episode: three losses close together on a series that hardly ever loses. One episode is one signal; its confirmation
(S beyond 15) and its end are updates. Not measured is not lost.
"""

from math import exp, log

import msgspec

from nettrace.analysis.signals.cadence import Cadence
from nettrace.analysis.signals.detector import NOTHING, pack, unpack
from nettrace.model.instant import Instant
from nettrace.model.measurement import SampleState
from nettrace.model.signal import Direction, Evidence, Kind, Observation, Severity, Signal, Tier

NAME = "loss/1"
USUAL_LEAST, EPISODE_LEAST, EPISODE_TIMES, EPISODE_MOST = 0.005, 0.2, 5.0, 0.9
BEGINS, CONFIRMED = 7.5, 15.0
ENDS = 7.5
WARM_UP, REMEMBERED = 32, 4096
PRIOR = 0.001
"""One observation in a thousand is believed to begin an episode: what confidence is reckoned from."""
TOTAL_SHARE, WARNING_SHARE = 0.9, 0.05


class LossState(msgspec.Struct):
    """All that the detector remembers.

    Attributes:
        seen: observations the usual share rests on, forgotten beyond 4096.
        lost: how many of those were lost.
        evidence: S, for an episode.
        calm: the same sum the other way round, for its end.
        since: first loss since S was zero.
        tested: observations since then.
        tested_lost: how many of those were lost.
        signal: the open episode.
    """

    cadence: tuple[Instant | None, list[int]] = (None, [])
    seen: float = 0.0
    lost: float = 0.0
    evidence: float = 0.0
    calm: float = 0.0
    since: Instant = 0
    tested: int = 0
    tested_lost: int = 0
    signal: Signal | None = None


class LossDetector:
    """Episodes of loss in one series."""

    __slots__ = ("_cadence", "_state")

    def __init__(self, interval_ns: int | None = None) -> None:
        self._cadence = Cadence(interval_ns)
        self._state = LossState()

    @property
    def name(self) -> str:
        """`loss/1`."""
        return NAME

    def feed(self, observation: Observation) -> tuple[Signal, ...]:
        """The episode that this observation begins, confirms or ends."""
        if observation.state is SampleState.NOT_MEASURED:
            return NOTHING
        state, lost = self._state, observation.state is SampleState.LOST
        if self._cadence.after_gap(observation.at) and state.signal is None:
            state.evidence = 0.0
        usual = max(USUAL_LEAST, (state.lost + 1) / (state.seen + 2))
        if state.signal is None:
            self._learn(lost=lost)
        if state.seen < WARM_UP:
            return NOTHING
        episode = min(max(EPISODE_LEAST, EPISODE_TIMES * usual), EPISODE_MOST)
        if usual >= episode:
            return NOTHING  # it loses nearly everything as a rule
        step = log(episode / usual) if lost else log((1 - episode) / (1 - usual))
        if state.evidence <= 0 and lost:
            state.since, state.tested, state.tested_lost = observation.at, 0, 0
        state.evidence = min(max(0.0, state.evidence + step), 2 * CONFIRMED)
        state.tested += 1
        state.tested_lost += lost
        if state.signal is None:
            return self._begin(observation.at, usual) if state.evidence > BEGINS else NOTHING
        state.calm = max(0.0, state.calm - step)
        return self._follow(observation.at, state.signal)

    def snapshot(self) -> bytes:
        """All that the detector remembers."""
        return pack(NAME, msgspec.structs.replace(self._state, cadence=self._cadence.state))

    def restore(self, state: bytes) -> None:
        """Remember that instead.

        Raises:
            Invalid: it is not a snapshot of this detector in this version.
        """
        self._state = unpack(NAME, LossState, state)
        self._cadence.resume(self._state.cadence)

    def _learn(self, *, lost: bool) -> None:
        state = self._state
        if state.seen >= REMEMBERED:
            state.lost -= state.lost / REMEMBERED
            state.seen -= 1
        state.seen += 1
        state.lost += lost

    def _begin(self, at: Instant, usual: float) -> tuple[Signal, ...]:
        state = self._state
        share = state.tested_lost / state.tested
        state.calm = 0.0
        state.signal = Signal(
            kind=Kind.LOSS,
            detector=NAME,
            at=state.since,
            detected_at=at,
            direction=Direction.UP,
            severity=Severity.WARNING if share >= WARNING_SHARE else Severity.NOTICE,
            confidence=_belief(state.evidence),
            tier=Tier.TENTATIVE,
            evidence=Evidence(
                statistic="bernoulli_cusum",
                value=round(state.evidence, 2),
                threshold=BEGINS,
                samples=state.tested,
                baseline=round(state.seen),
            ),
            from_loss=round(usual, 4),
            to_loss=round(share, 4),
        )
        return (state.signal,)

    def _follow(self, at: Instant, signal: Signal) -> tuple[Signal, ...]:
        state = self._state
        share = state.tested_lost / state.tested
        if state.calm > ENDS:
            state.signal, state.evidence = None, 0.0
            return (
                msgspec.structs.replace(
                    signal, detected_at=at, tier=Tier.ENDED, updates=True, to_loss=round(share, 4)
                ),
            )
        if signal.tier is not Tier.TENTATIVE or state.evidence <= CONFIRMED:
            return NOTHING
        state.signal = msgspec.structs.replace(
            signal,
            detected_at=at,
            tier=Tier.CONFIRMED,
            updates=True,
            confidence=_belief(state.evidence),
            severity=Severity.CRITICAL if share >= TOTAL_SHARE else signal.severity,
            to_loss=round(share, 4),
        )
        return (state.signal,)


def _belief(evidence: float) -> float:
    """Probability of an episode after so much evidence, from one in a thousand before."""
    odds = exp(evidence) * PRIOR / (1 - PRIOR)
    return round(odds / (1 + odds), 3)
