"""An RTT to a CDN edge is not an exchange's latency, and the verdict says which it was."""

from nettrace.analysis.edge import Stands, judge_edge

MS = 1_000_000
TOKYO = {"place": "Tokyo", "hard_floor_ns": 64 * MS, "fibre_floor_ns": 94 * MS}
NOWHERE = {"place": None, "hard_floor_ns": None, "fibre_floor_ns": None}


def test_faster_than_light_is_an_edge_whatever_the_first_byte_says() -> None:
    verdict = judge_edge(4 * MS, 5 * MS, **TOKYO)
    assert verdict.stands is Stands.EDGE
    assert "light" in verdict.why


def test_a_slow_first_byte_behind_a_fast_handshake_is_an_edge_even_without_places() -> None:
    verdict = judge_edge(4 * MS, 231 * MS, **NOWHERE)
    assert (verdict.stands, verdict.behind_ns) == (Stands.EDGE, 227 * MS)


def test_a_handshake_near_the_fibre_floor_is_plausibly_the_engine() -> None:
    assert judge_edge(150 * MS, 151 * MS, **TOKYO).stands is Stands.ORIGIN


def test_between_light_and_glass_the_place_is_still_plausible_but_far_beyond_it_is_not() -> None:
    assert judge_edge(70 * MS, 71 * MS, **TOKYO).stands is Stands.ORIGIN
    assert judge_edge(400 * MS, 401 * MS, **TOKYO).stands is Stands.UNKNOWN


def test_without_places_or_first_byte_nobody_can_tell() -> None:
    verdict = judge_edge(10 * MS, None, **NOWHERE)
    assert (verdict.stands, verdict.behind_ns) == (Stands.UNKNOWN, None)
    assert "cannot tell" in verdict.why


def test_an_answer_quicker_than_the_handshake_is_not_a_negative_delay() -> None:
    assert judge_edge(10 * MS, 9 * MS, **NOWHERE).behind_ns == 0


def test_next_door_to_the_engine_there_is_no_distance_to_judge_by() -> None:
    verdict = judge_edge(1 * MS, 2 * MS, place="Secaucus", hard_floor_ns=0, fibre_floor_ns=0)
    assert verdict.stands is Stands.UNKNOWN
    assert "no distance" in verdict.why
