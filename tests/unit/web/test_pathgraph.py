"""Paths as a graph: what is shared is drawn once, silence is silence, and any set of paths is a valid picture."""

from xml.etree import ElementTree as ET

from hypothesis import given
from hypothesis import strategies as st

from nettrace.model.measurement import Method, Outcome, Sample, SampleState
from nettrace.model.path import Hop, StopReason, Trace
from nettrace.web.pathgraph import draw, graph


def trace(*addresses: str | None, reached: bool = True) -> Trace:
    hops = tuple(
        Hop(
            ttl=number,
            address=address,
            samples=(Sample(state=SampleState.ANSWERED, rtt_ns=number * 10**6),) if address else (),
        )
        for number, address in enumerate(addresses, 1)
    )
    return Trace(
        target="api.example", address="198.18.0.1", at=0, outcome=Outcome.MEASURED, method=Method.ICMP, flow=0, reached=reached,
        stop=StopReason.REACHED if reached else StopReason.GAP, hops=hops,
    )  # fmt: skip


def test_what_paths_share_is_drawn_once() -> None:
    made = graph(
        "api.example",
        {
            "nyc": trace("10.0.0.1", "10.9.9.9", "198.18.0.1"),
            "lon": trace("10.1.0.1", "10.9.9.9", "198.18.0.1"),
        },
    )
    assert made.edges["10.9.9.9", "target"] == ("nyc", "lon")
    assert sum(node.kind == "hop" for node in made.nodes.values()) == 3


def test_silent_hops_of_two_vantages_are_never_taken_for_one() -> None:
    made = graph("api.example", {"nyc": trace(None, "198.18.0.1"), "lon": trace(None, "198.18.0.1")})
    assert sum(node.kind == "silent" for node in made.nodes.values()) == 2


def test_a_target_that_was_not_reached_is_joined_by_a_line_that_says_so() -> None:
    drawn = draw(graph("api.example", {"nyc": trace("10.0.0.1", reached=False)}))
    assert "way-missing" in drawn
    assert "not reached" in drawn


addresses = st.one_of(st.none(), st.integers(1, 30).map(lambda n: f"10.0.0.{n}"))


@given(
    st.dictionaries(
        st.text(min_size=1, max_size=8), st.lists(addresses, min_size=1, max_size=15), max_size=6
    ),
    st.booleans(),
)
def test_any_set_of_paths_is_a_valid_picture(paths: dict[str, list[str | None]], reached: bool) -> None:
    made = graph("x <&> \u0000", {vantage: trace(*hops, reached=reached) for vantage, hops in paths.items()})
    drawn = draw(made)
    assert bool(drawn) == bool(paths)
    if drawn:
        boxes = [
            node
            for node in ET.fromstring(drawn).iter()
            if node.attrib.get("class", "").startswith("box box-")
        ]
        assert len(boxes) == len(made.nodes)
