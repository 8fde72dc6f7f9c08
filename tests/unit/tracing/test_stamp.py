"""A STAMP session's accounts: losses and order per way, forged and repeated packets, and a reflector that is no tool for others."""

import random

import pytest

from nettrace.analysis.oneway import one_way
from nettrace.errors import Invalid
from nettrace.measure.packets.stamp import ErrorEstimate, Request, build_request, ntp_stamp
from nettrace.measure.tracing.reflection import PEER_RATE, Peer, Reflection
from nettrace.measure.tracing.stamp import StampOptions, StampRound
from nettrace.model.measurement import Grade, Outcome, SampleState

KEY = b"a key of both ends, 32 octets..."
T0 = 1_800_000_000_000_000_000
MS = 1_000_000
SURE = ErrorEstimate(50_000, synchronised=True)
WAY = ("10.0.0.9", 5000)


def session(
    count=10,
    *,
    out=lambda n: 20,
    back=lambda n: 10,
    key=KEY,
    stateful=True,
    peer_off_ms=0,
    estimate=SURE,
    held_ms=3,
):
    """A session through a made-up network: `out` and `back` give each packet's delay in ms, or None for a lost one."""
    run = StampRound(("x", "10.0.0.1", 862), StampOptions(count=count), key, session=77)
    reflection = Reflection([Peer(name="x", key=key, networks=("10.0.0.0/8",))], stateful=stateful)
    sent = []
    for number in range(count + 1):
        at = T0 + number * 200 * MS
        sent.append((number, at, run.request(at, SURE)))
        run.left(number, at)
    arrivals = sorted(
        (at + out(number) * MS, number, data) for number, at, data in sent if out(number) is not None
    )
    replies = []
    for at, number, data in arrivals:
        there = at + peer_off_ms * MS
        answer = reflection.answer(data, WAY, there, 250, (there + held_ms * MS, estimate))
        reflection.left(answer, there + (held_ms + 1) * MS)
        if back(number) is not None:
            replies.append((at + (held_ms + 1 + back(number)) * MS, answer.data))
    for at, data in sorted(replies):
        run.heard(data, at, kernel=True, ttl=248, drift_ns=[0] * (count + 1))
    return run


def test_the_reflectors_residence_is_no_part_of_the_round_trip_and_each_way_has_its_own_delay():
    made = session().result(SURE)
    assert made.outcome is Outcome.MEASURED and made.authenticated
    assert [sample.rtt_ns for sample in made.samples] == [30 * MS] * 10
    assert {sample.grade for sample in made.samples} == {Grade.KERNEL}
    out, back = one_way(made)
    assert (out.delay_ns, back.delay_ns) == (20 * MS, 10 * MS)
    assert out.error_ns == back.error_ns == 50_000 + made.peer_error_ns + 20_000
    assert (made.out.hops, made.back.hops) == (5, 7)


def test_losses_and_order_are_told_per_way_by_a_reflector_that_counts():
    made = session(
        out=lambda n: None if n in {2, 3} else 500 if n == 5 else 20,
        back=lambda n: None if n in {7, 9} else 300 if n == 6 else 10,
    ).result(SURE)
    assert (made.out.sent, made.out.received, made.out.reordered) == (10, 8, 1)
    assert (made.back.sent, made.back.received, made.back.reordered) == (8, 6, 1)
    assert [n for n, sample in enumerate(made.samples) if sample.state is SampleState.LOST] == [2, 3, 7, 9]


def test_any_pattern_of_losses_is_told_exactly():
    for seed in range(50):
        rng = random.Random(seed)
        out = {n for n in range(20) if rng.random() < 0.3}
        back = {n for n in range(20) if rng.random() < 0.3}
        if out | back == set(range(20)):
            continue
        made = session(
            20,
            out=lambda n, lost=out: None if n in lost else 20,
            back=lambda n, lost=back: None if n in lost else 10,
        ).result(SURE)
        assert (made.out.sent - made.out.received, made.back.sent - made.back.received) == (
            len(out),
            len(back - out),
        )


def test_a_stateless_reflectors_losses_belong_to_no_way():
    made = session(out=lambda n: None if n == 2 else 20, stateful=False).result(SURE)
    assert made.out.received is None and made.back.received is None
    late = session(out=lambda n: 500 if n == 2 else 20, stateful=False).result(SURE)
    assert late.out.reordered is None and late.back.reordered is None
    whole = session(stateful=False).result(SURE)
    assert (whole.out.received, whole.back.received, whole.out.reordered) == (10, 10, 0)
    assert {sample.grade for sample in whole.samples} == {
        Grade.USER
    }  # it does not tell when its replies left


def test_forged_and_repeated_answers_are_counted_and_change_nothing():
    run = session()
    before = run.result(SURE)
    other = StampRound(("x", "10.0.0.1", 862), StampOptions(), KEY, session=77)
    reflection = Reflection([Peer(name="x", key=KEY)])
    theirs = reflection.answer(other.request(T0 + 5, SURE), WAY, T0, 250, (T0, SURE))
    for data in (theirs.data, b"", bytes(112), theirs.data[:60]):
        assert not run.heard(data, T0 + 30 * MS, kernel=True, ttl=1, drift_ns=[0] * 11)
    after = run.result(SURE)
    assert after.rejected == 4
    assert (after.samples, after.out, after.back) == (before.samples, before.out, before.back)


def test_a_clock_set_during_the_session_spoils_its_samples_and_says_so():
    run = StampRound(("x", "10.0.0.1", 862), StampOptions(count=1), None, session=77)
    reflection = Reflection([Peer(name="x", networks=("10.0.0.0/8",))])
    answer = reflection.answer(run.request(T0, SURE), WAY, T0 + MS, 250, (T0 + MS, SURE))
    run.heard(answer.data, T0 + 5 * MS, kernel=True, ttl=None, drift_ns=[None])
    sample = run.result(SURE).samples[0]
    assert sample.state is SampleState.NOT_MEASURED and "clock was set" in sample.reason


@pytest.mark.parametrize(
    ("off_ms", "estimate", "own", "words"),
    [
        (0, ErrorEstimate(None, synchronised=False), SURE, "nobody vouches for the reflector's clock"),
        (0, SURE, ErrorEstimate(None, synchronised=False), "nobody vouches for this host's clock"),
        (0, ErrorEstimate(20 * MS, synchronised=True), SURE, "not below half the round trip"),
        (250, SURE, SURE, "contradict each other"),
        (-250, SURE, SURE, "contradict each other"),
    ],
)
def test_a_delay_the_clocks_cannot_tell_is_not_told(off_ms, estimate, own, words):
    made = session(peer_off_ms=off_ms, estimate=estimate).result(own)
    for way in one_way(made):
        assert way.delay_ns is None and words in way.why
    assert [sample.rtt_ns for sample in made.samples] == [30 * MS] * 10  # the round trip needs no clock


# -- the reflector -----------------------------------------------------------------------------------------


def asked(number=0, sent=T0, session=5, key=KEY):
    return build_request(Request(number=number, sent=ntp_stamp(sent), estimate=SURE, session=session), key)


def reply(reflection, data, source=WAY, at=T0):
    return reflection.answer(data, source, at, 60, (at, SURE))


def test_only_known_peers_are_answered():
    reflection = Reflection([Peer(name="nyc", key=KEY, networks=("10.0.0.0/8",))])
    assert reply(reflection, asked(), ("192.0.2.1", 5000)) is None
    assert reply(reflection, asked(key=b"another key of thirty-two octets")) is None
    assert reply(reflection, asked(key=None)) is None
    assert reply(reflection, asked()) is not None
    assert reflection.counts == {"stranger": 1, "forged": 1, "short": 1, "answered": 1}
    reflection.allow([])
    assert reply(reflection, asked(1)) is None
    with pytest.raises(Invalid, match="neither key nor network"):
        Reflection([Peer(name="all")])


def test_a_packet_heard_before_is_not_answered_again_not_even_after_its_session_is_forgotten():
    reflection = Reflection([Peer(name="nyc", key=KEY)])
    assert reply(reflection, asked(0)) and reply(reflection, asked(2)) and reply(reflection, asked(1))
    assert [reply(reflection, asked(number)) for number in (0, 1, 2)] == [None, None, None]
    late = T0 + 60 * 10**9
    assert reply(reflection, asked(0, sent=late, session=6), at=late)
    assert (
        reply(reflection, asked(0, session=5), ("10.0.0.9", 5001), at=late) is None
    )  # a new session with an old packet
    assert reflection.counts["repeated"] == 4


def test_a_peers_rate_is_bounded():
    reflection = Reflection([Peer(name="nyc", key=KEY)])
    answers = [reply(reflection, asked(number), at=T0 + number) for number in range(PEER_RATE.burst + 20)]
    assert sum(answer is not None for answer in answers) == PEER_RATE.burst
    assert reflection.counts["hurried"] == 20
