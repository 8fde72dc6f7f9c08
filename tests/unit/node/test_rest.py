"""How long a node rests between commits and between reports: quick ones may follow sooner."""

from hypothesis import given
from hypothesis import strategies as st

from nettrace.node.keeper import REST, rested_s

SOONEST_S, LATEST_S = 0.2, 1.0


@given(took_s=st.floats(0, 100), more_s=st.floats(0, 100))
def test_the_longer_a_report_takes_the_longer_is_rested_and_never_beyond_the_bounds(
    took_s: float, more_s: float
) -> None:
    rest_s = rested_s(took_s, SOONEST_S, LATEST_S)
    assert SOONEST_S <= rest_s <= LATEST_S
    assert rest_s <= rested_s(took_s + more_s, SOONEST_S, LATEST_S)
    assert rest_s == LATEST_S or took_s * REST <= rest_s, "a twentieth of the time, or once a second"
