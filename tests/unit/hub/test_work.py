"""On-demand rounds: handed out once, in turn, politely, and not for ever."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from nettrace.hub.work import LEASE_NS, MOST_AT_ONCE, TARGET_GAP_NS, WorkBoard
from nettrace.model.instant import NS_PER_S
from nettrace.model.target import Endpoint, Role, RoundMethod
from nettrace.store.rows import MeasurementRequest, MeasurementState

NOW = 1_800_000_000 * NS_PER_S


def request(name: str, *, account: str = "self", target: str | None = None, wanted=("nyc",), deadline_s=60):
    host = target or f"{name}.example"
    return MeasurementRequest(
        id=name, account=account, target=host, endpoint=Endpoint(name="site", host=host, role=Role.WEB),
        method=RoundMethod.TCP, wanted=wanted, created_at=NOW, deadline=NOW + deadline_s * NS_PER_S,
    )  # fmt: skip


def board_of(*requests: MeasurementRequest) -> WorkBoard:
    board = WorkBoard()
    for each in requests:
        board.put(each)
    return board


def test_a_round_is_handed_to_each_wanted_vantage_once_and_to_no_other():
    board = board_of(request("a", wanted=("nyc", "lon")))
    assert [work.request for work in board.claim("nyc", NOW)[0]] == ["a"]
    assert board.claim("nyc", NOW + NS_PER_S)[0] == []
    assert [work.request for work in board.claim("lon", NOW)[0]] == ["a"]
    assert board.claim("sfo", NOW)[0] == []


def test_the_first_claim_sets_a_request_running_and_the_last_answer_finishes_it():
    board = board_of(request("a", wanted=("nyc", "lon")))
    assert [begun.state for begun in board.claim("nyc", NOW)[1]] == [MeasurementState.RUNNING]
    assert board.claim("lon", NOW)[1] == []
    first = board.answered("a", ["nyc"])
    assert first is not None and (first.state, first.answered) == (MeasurementState.RUNNING, ("nyc",))
    assert board.answered("a", ["nyc"]) is None
    last = board.answered("a", ["lon"])
    assert last is not None and (last.state, last.answered) == (MeasurementState.FINISHED, ("nyc", "lon"))
    assert len(board) == 0


def test_a_dead_nodes_round_is_handed_out_again_until_the_deadline():
    board = board_of(request("a", deadline_s=60))
    assert len(board.claim("nyc", NOW)[0]) == 1
    assert board.claim("nyc", NOW + LEASE_NS - 1)[0] == []
    assert len(board.claim("nyc", NOW + LEASE_NS)[0]) == 1
    assert board.claim("nyc", NOW + 60 * NS_PER_S)[0] == []


def test_a_request_past_its_deadline_expires_once_and_keeps_its_answers():
    board = board_of(request("a", wanted=("nyc", "lon"), deadline_s=10))
    board.answered("a", ["nyc"])
    assert board.expire(NOW + 10 * NS_PER_S - 1) == []
    (late,) = board.expire(NOW + 10 * NS_PER_S)
    assert (late.state, late.answered) == (MeasurementState.EXPIRED, ("nyc",))
    assert board.expire(NOW + 11 * NS_PER_S) == []


def test_somebody_with_many_requests_delays_nobody_with_one():
    crowd = [request(f"c{number}", account="crowd") for number in range(50)]
    board = board_of(*crowd, request("mine", account="me"))
    assert "mine" in [work.request for work in board.claim("nyc", NOW)[0][:2]]


def test_one_target_is_not_asked_twice_within_a_second_whoever_asks():
    board = board_of(
        request("a", account="x", target="t.example"), request("b", account="y", target="t.example")
    )
    assert [work.request for work in board.claim("nyc", NOW)[0]] == ["a"]
    assert board.claim("nyc", NOW + TARGET_GAP_NS - 1)[0] == []
    assert [work.request for work in board.claim("nyc", NOW + TARGET_GAP_NS)[0]] == ["b"]


@given(st.lists(st.tuples(st.sampled_from("xyz"), st.integers(0, 30)), max_size=40), st.integers(0, 3))
def test_every_request_is_handed_out_exactly_once_and_never_too_many_at_a_time(wanted, step_s):
    requests = [
        request(f"r{number}", account=account, target=f"{target}.example")
        for number, (account, target) in enumerate(wanted)
    ]
    board = board_of(*(msgspec.structs.replace(each, deadline=NOW + 10**15) for each in requests))
    handed, now = [], NOW
    while board.waits_for("nyc", now) and now < NOW + LEASE_NS:
        work, _ = board.claim("nyc", now)
        assert len(work) <= MOST_AT_ONCE
        assert len({one.target for one in work}) == len(work)
        handed += [one.request for one in work]
        now += TARGET_GAP_NS * max(1, step_s) if step_s else TARGET_GAP_NS
    assert len(handed) == len(set(handed))
    if now < NOW + LEASE_NS:
        assert sorted(handed) == sorted(each.id for each in requests)
