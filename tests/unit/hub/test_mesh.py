"""Who measures whom in the mesh, with which key; and what a pair's two directions look like beside each other."""

import msgspec
from tests.unit.hub.reports import NOW

from nettrace.analysis.oneway import way_tests
from nettrace.hub.assignment import SETTING, assignment_for
from nettrace.hub.latest import Snapshot
from nettrace.hub.mesh import mesh_of, pair_key, pairs
from nettrace.model.measurement import Outcome, Sample, SampleState, StampTest, Way
from nettrace.model.target import RoundMethod, Series
from nettrace.model.vantage import Vantage, VantageState
from nettrace.store.arrival import numbers
from nettrace.store.port import NodeRow
from nettrace.store.rows import Latest, Round

MS = 1_000_000


def node(code, reflector="", state=VantageState.ACTIVE):
    vantage = Vantage(code=code, node=f"node_{code}", state=state, reflector=reflector)
    return NodeRow(vantage=vantage, key=code.encode() * 10)


NYC, SIN, NAT = node("nyc", "192.0.2.1:862"), node("sin", "[2001:db8::2]:8620"), node("nat")


def test_each_node_measures_those_that_can_be_reached_and_answers_all():
    nodes = [NYC, SIN, NAT, node("old", "192.0.2.9:862", VantageState.REVOKED)]
    peers, tasks = mesh_of(NAT, nodes)
    assert [peer.target for peer in peers] == ["nyc.mesh", "sin.mesh"]
    assert [(task.target, task.endpoint.host, task.endpoint.port) for task in tasks] == [
        ("nyc.mesh", "192.0.2.1", 862), ("sin.mesh", "2001:db8::2", 8620),
    ]  # fmt: skip
    assert all(task.methods == (RoundMethod.STAMP, RoundMethod.TRACE) for task in tasks)
    peers, tasks = mesh_of(NYC, nodes)
    assert [peer.target for peer in peers] == ["nat.mesh", "sin.mesh"]
    assert [task.target for task in tasks] == ["sin.mesh"]  # nobody reaches the one behind NAT


def test_a_pair_has_one_key_that_no_other_pair_has_and_that_dies_with_either_secret():
    keys = {pair_key(NYC, SIN), pair_key(NYC, NAT), pair_key(SIN, NAT)}
    assert len(keys) == 3 and all(len(key) == 32 for key in keys)
    assert pair_key(SIN, NYC) == pair_key(NYC, SIN)
    assert pair_key(msgspec.structs.replace(NYC, key=b"new"), SIN) not in keys


def test_the_assignment_carries_the_mesh_unless_the_operator_says_otherwise():
    made = assignment_for(NYC, (), {}, [NYC, SIN, NAT])
    assert len(made.peers) == 2 and [task.target for task in made.tasks] == ["sin.mesh"]
    assert made.version != assignment_for(NYC, (), {}, [NYC, NAT]).version
    off = assignment_for(NYC, (), {SETTING: b'{"mesh": false}'}, [NYC, SIN, NAT])
    assert (off.peers, off.tasks) == ((), ())
    drained = msgspec.structs.replace(
        NYC, vantage=msgspec.structs.replace(NYC.vantage, state=VantageState.DRAINED)
    )
    assert assignment_for(drained, (), {}, [drained, SIN]).peers == ()


def stored(vantage, target, test):
    """The newest rounds of a session, as a store keeps them."""
    out, back = way_tests(test)
    rows = {}
    for endpoint, made in (("node", test), ("out", out), ("back", back)):
        kept = numbers(made)
        series = Series(vantage, target, endpoint, RoundMethod.STAMP)
        whole = Round(
            id="ms_x", series=series, due=NOW, at=NOW, outcome=made.outcome, sent=kept.sent, received=kept.received,
            not_measured=kept.not_measured, rtt_ns=kept.rtt_ns, min_ns=kept.min_ns, max_ns=kept.max_ns,
            error_ns=kept.error_ns, samples_ns=kept.samples_ns, status=kept.status, hop_count=kept.hop_count,
        )  # fmt: skip
        rows[series] = Latest(seq=1, round=whole, interval_s=60.0)
    return rows


def session(out_ms, back_ms, *, error_ns=100_000, out=(5, 5), back=(5, 5), late=0):
    sample = Sample(state=SampleState.ANSWERED, rtt_ns=(out_ms + back_ms) * MS, error_ns=20_000)
    return StampTest(
        target="x", address="192.0.2.1", at=NOW, outcome=Outcome.MEASURED, port=862, samples=(sample,) * back[1],
        out=Way(sent=out[0], received=out[1], reordered=late, delays_ns=(out_ms * MS,) * back[1], hops=9),
        back=Way(sent=back[0], received=back[1], reordered=0, delays_ns=(back_ms * MS,) * back[1], hops=11),
        own_error_ns=error_ns, peer_error_ns=error_ns,
    )  # fmt: skip


def test_new_york_to_singapore_stands_beside_singapore_to_new_york():
    newest = {
        "sin.mesh": stored("nyc", "sin.mesh", session(110, 120, out=(5, 4), back=(4, 4), late=1)),
        "nyc.mesh": stored("sin", "nyc.mesh", session(121, 111, error_ns=5 * MS)),
    }
    (pair,) = pairs(Snapshot(seq=1, at=NOW, newest=newest))
    assert (pair.one, pair.other, pair.there.delay_ns, pair.back.delay_ns) == (
        "nyc",
        "sin",
        110 * MS,
        120 * MS,
    )
    assert (pair.there.lost, pair.there.sent, pair.there.reordered, pair.there.hops) == (1, 5, 1, 9)
    assert (pair.back.lost, pair.back.hops) == (0, 11)
    assert pair.asymmetry_ns == -10 * MS and pair.asymmetry_error_ns == 2 * pair.there.error_ns
    assert {pair.there.by, pair.back.by} == {"nyc"}  # whose clocks are the better known


def test_what_the_clocks_cannot_tell_is_no_number_but_its_losses_are():
    newest = {
        "sin.mesh": stored("nyc", "sin.mesh", session(110, 120, error_ns=80 * MS, out=(5, 3), back=(3, 3)))
    }
    (pair,) = pairs(Snapshot(seq=1, at=NOW, newest=newest))
    assert (pair.there.delay_ns, pair.asymmetry_ns) == (None, None)
    assert pair.there.error_ns == 160 * MS + 20_000
    assert pair.there.lost == 2 and pair.rtt_ns == 230 * MS
