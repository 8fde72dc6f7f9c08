"""Laws of alerting: a restart changes nothing, and nothing is told that was not opened before."""

from hypothesis import given, settings
from hypothesis import strategies as st

from nettrace.analysis.alerts.evaluator import Evaluator, Turn
from nettrace.analysis.alerts.fact import EventSeen, Fact, Heard, Ordered, RoundSeen
from nettrace.analysis.alerts.quorum import Verdict, Vote, verdict
from nettrace.analysis.alerts.rule import read_book
from nettrace.model.alert import IncidentState, NoticeKind
from nettrace.model.instant import NS_PER_S
from nettrace.model.measurement import Outcome
from nettrace.model.signal import Severity
from nettrace.model.target import RoundMethod, Series

STEP = 30 * NS_PER_S
BOOK = read_book({
    "channel": {"desk": {"kind": "slack", "url": "https://chat.example/x"}},
    "rule": [
        {"name": "down", "metric": "failed", "above": 1, "recover": 0, "for": "30s", "severity": "critical", "repeat": "5m"},
        {"name": "slow", "metric": "p50", "above": 50, "for": "0s", "k": 2, "window": "2m"},
        {"name": "late", "metric": "age", "above": 2, "for": "0s", "group": "rule"},
        {"name": "silent", "metric": "silence", "above": 60, "for": "0s"},
        {"name": "shift", "preset": "shift", "lasts": "3m"},
    ],
})  # fmt: skip

vantages = st.sampled_from(["nyc", "lon", "tok"])
targets = st.sampled_from(["a.example", "b.example"])


@st.composite
def told(draw: st.DrawFn, at: int) -> Fact:
    vantage, target = draw(vantages), draw(targets)
    match draw(st.integers(0, 9)):
        case 0:
            return Heard(vantage=vantage, at=at)
        case 1:
            said = draw(st.sampled_from(["confirmed", "ended"]))
            return EventSeen(
                id=f"sig_{at}", kind="shift", target=target, vantage=vantage, severity=Severity.CRITICAL,
                tier=said, over=said == "ended")  # fmt: skip
        case _:
            outcome = draw(
                st.sampled_from([Outcome.MEASURED, Outcome.MEASURED, Outcome.FAILED, Outcome.NOT_MEASURED])
            )
            rtt = draw(st.sampled_from([10, 90])) * 1_000_000 if outcome is Outcome.MEASURED else None
            return RoundSeen(
                series=Series(vantage, target, "rest", RoundMethod.TCP), due=at, interval_ns=STEP, outcome=outcome,
                rtt_ns=rtt, sent=1, received=int(rtt is not None))  # fmt: skip


@st.composite
def stories(draw: st.DrawFn) -> list[tuple[int, list[Fact]]]:
    now, story = 1_800_000_000 * NS_PER_S, list[tuple[int, list[Fact]]]()
    for _ in range(draw(st.integers(2, 40))):
        now += STEP * draw(st.sampled_from([1, 1, 1, 1, 2, 30]))
        story.append((now, draw(st.lists(told(now), max_size=8))))
    return story


def live(evaluator: Evaluator, story: list[tuple[int, list[Fact]]]) -> list[Turn]:
    return [evaluator.feed(now, facts) for now, facts in story]


@settings(max_examples=60, deadline=None)
@given(stories(), st.data())
def test_a_restart_at_any_moment_changes_nothing(
    story: list[tuple[int, list[Fact]]], data: st.DataObject
) -> None:
    cut = data.draw(st.integers(0, len(story)))
    whole, before = Evaluator(BOOK), Evaluator(BOOK)
    said = live(whole, story)
    told_before = live(before, story[:cut])
    after = Evaluator.restore(BOOK, before.snapshot())

    assert told_before + live(after, story[cut:]) == said
    assert after.snapshot() == whole.snapshot()


@settings(max_examples=60, deadline=None)
@given(stories())
def test_every_incident_opens_once_and_closes_at_most_once(story: list[tuple[int, list[Fact]]]) -> None:
    evaluator = Evaluator(BOOK)
    turns = live(evaluator, story)
    for now, _ in story[-1:]:
        turns.append(
            evaluator.feed(
                now, [Ordered(action="close", incident=each.id, actor="t") for each in evaluator.open]
            )
        )
    lives: dict[str, list[NoticeKind]] = {}
    for notice in (each for turn in turns for each in turn.notices):
        lives.setdefault(notice.incident.id, []).append(notice.kind)
        assert notice.number == len(lives[notice.incident.id])
    for kinds in lives.values():
        assert kinds[0] is NoticeKind.OPENED
        assert kinds.count(NoticeKind.OPENED) == 1
        assert kinds[-1] is NoticeKind.CLOSED
        assert kinds.count(NoticeKind.CLOSED) == 1
    assert all(each.state is not IncidentState.CLOSED for each in evaluator.open)


@given(st.lists(st.sampled_from(Vote)), st.integers(1, 4), st.integers(1, 4))
def test_who_cannot_be_asked_begins_nothing_and_ends_nothing(votes: list[Vote], k: int, n: int) -> None:
    said = verdict(votes, k, n)
    if said is Verdict.BAD:
        assert votes.count(Vote.BAD) >= k
        assert votes.count(Vote.BAD) + votes.count(Vote.GOOD) >= n
    if said is Verdict.GOOD:
        assert Vote.GOOD in votes or Vote.BAD in votes
        assert votes.count(Vote.BAD) + votes.count(Vote.HELD_BAD) < k
