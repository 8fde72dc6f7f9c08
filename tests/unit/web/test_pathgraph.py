"""Paths as a graph: what is shared is drawn once, silence is silence, and any set of paths is a valid picture."""

from xml.etree import ElementTree as ET

from hypothesis import given
from hypothesis import strategies as st

from nettrace.model.measurement import Method, Outcome, Sample, SampleState
from nettrace.model.path import Balance, Hop, Place, StopReason, Trace
from nettrace.web.pathdraw import draw
from nettrace.web.pathgraph import GROUPS, against, graph, worsened

NETWORKS = {"10.0": 64501, "10.1": 64502, "10.9": 64509}
PARIS = Place(name="Paris & <b>", latitude=48.9, longitude=2.4, radius_km=20, evidence="given")


def trace(*addresses: str | None, reached: bool = True, also: tuple[str, ...] = (), balances: tuple[Balance, ...] = ()) -> Trace:  # fmt: skip
    hops = tuple(
        Hop(
            ttl=number, address=address, asn=NETWORKS.get(".".join((address or "").split(".")[:2])),
            place=PARIS if address and address.startswith("10.9") else None, also=also if address == "10.9.9.9" else (),
            samples=(Sample(state=SampleState.ANSWERED, rtt_ns=number * 10**6),) if address else (),
        )
        for number, address in enumerate(addresses, 1)
    )  # fmt: skip
    return Trace(
        target="api.example", address="198.18.0.1", at=0, outcome=Outcome.MEASURED, method=Method.ICMP, flow=0, reached=reached,
        stop=StopReason.REACHED if reached else StopReason.GAP, hops=hops, balances=balances,
    )  # fmt: skip


def test_what_paths_share_is_drawn_once() -> None:
    paths = {
        "nyc": trace("10.0.0.1", "10.9.9.9", "198.18.0.1"),
        "lon": trace("10.1.0.1", "10.9.9.9", "198.18.0.1"),
    }
    made = graph("api.example", paths)
    assert made.edges["10.9.9.9", "target"].vantages == ("nyc", "lon")
    assert sum(node.kind == "hop" for node in made.nodes.values()) == 3


def test_silent_hops_of_two_vantages_are_never_taken_for_one() -> None:
    made = graph("api.example", {"nyc": trace(None, "198.18.0.1"), "lon": trace(None, "198.18.0.1")})
    assert sum(node.kind == "silent" for node in made.nodes.values()) == 2


def test_a_target_that_was_not_reached_is_joined_by_a_line_that_says_so() -> None:
    drawn = draw(graph("api.example", {"nyc": trace("10.0.0.1", reached=False)}))
    assert "way-missing" in drawn
    assert "did not answer" in drawn


def test_addresses_that_share_the_load_stand_beside_each_other() -> None:
    paths = {"nyc": trace("10.0.0.1", "10.9.9.9", "198.18.0.1", also=("10.9.9.8",))}
    made = graph("api.example", paths)
    shared = {pair for pair, edge in made.edges.items() if edge.shared}
    assert shared == {("10.0.0.1", "10.9.9.9"), ("10.0.0.1", "10.9.9.8"), ("10.9.9.9", "target"), ("10.9.9.8", "target")}  # fmt: skip
    assert made.nodes["10.9.9.9"].layer == made.nodes["10.9.9.8"].layer
    found = Balance(ttl=1, addresses=("10.0.0.1", "10.0.0.2"), flows_probed=16, confidence=0.95)
    balanced = graph("api.example", {"nyc": trace("10.0.0.1", "198.18.0.1", balances=(found,))})
    assert balanced.edges["vantage nyc", "10.0.0.2"].shared


def test_vantages_stand_left_however_long_their_paths_are() -> None:
    paths = {"nyc": trace("10.0.0.1", "10.0.0.2", "10.0.0.3", "198.18.0.1"), "lon": trace("198.18.0.1")}
    made = graph("api.example", paths)
    assert made.nodes["vantage nyc"].layer == made.nodes["vantage lon"].layer == 4


def test_hops_of_one_network_or_place_become_one_box_and_say_how_many_they_are() -> None:
    paths = {"nyc": trace("10.0.0.1", "10.0.0.2", None, None, "10.9.1.1", "10.9.1.2", "198.18.0.1")}
    networks = graph("api.example", paths, "as")
    assert {node.label for node in networks.nodes.values()} == {"nyc", "AS64501", "no answer", "AS64509", "api.example"}  # fmt: skip
    assert networks.nodes["as AS64501"].detail.startswith("2 hops")
    assert networks.nodes["as AS64501"].hops == ("10.0.0.1", "10.0.0.2")
    places = graph("api.example", paths, "place")
    assert places.nodes[f"place {PARIS.name}"].hops == ("10.9.1.1", "10.9.1.2")


def test_a_box_of_many_paths_has_the_range_of_their_round_trips() -> None:
    paths = {"nyc": trace("198.18.0.1"), "lon": trace("10.1.0.1", "10.1.0.2", "198.18.0.1")}
    assert graph("api.example", paths).nodes["target"].detail == "1.0 to 3.0 ms"


def test_two_instants_differ_by_what_came_and_went_and_silence_is_no_change() -> None:
    now = {"nyc": trace("10.0.0.1", None, "10.0.0.3", "198.18.0.1"), "lon": trace("10.1.0.1", "198.18.0.1")}
    then = {"nyc": trace("10.0.0.1", "10.0.0.2", "10.0.0.3", "198.18.0.1")}
    made = against("api.example", now, then)
    assert {key: node.change for key, node in made.nodes.items() if node.change} == {"10.0.0.2": "gone"}
    assert made.nodes["10.1.0.1"].change == "", "lon did not trace then: nothing of it is new"
    assert not any("\0" in key for key in made.nodes)
    moved = against(
        "api.example", {"nyc": trace("10.0.0.9", "198.18.0.1")}, {"nyc": trace("10.0.0.1", "198.18.0.1")}
    )
    changes = {key: node.change for key, node in moved.nodes.items() if node.kind == "hop"}
    assert changes == {"10.0.0.9": "came", "10.0.0.1": "gone"}
    assert moved.edges["vantage nyc", "10.0.0.1"].change == "gone"
    drawn = draw(moved)
    assert "+ 10.0.0.9" in drawn and "✕ 10.0.0.1" in drawn


def test_a_degraded_leg_is_told_by_shape_and_words_also_between_groups() -> None:
    paths = {"nyc": trace("10.0.0.1", "10.9.9.9", "198.18.0.1")}
    for group in GROUPS:
        marked = worsened(graph("api.example", paths, group), {("10.0.0.1", "10.9.9.9"): "+34.0 ms"})
        worse = [edge for edge in marked.edges.values() if edge.worse]
        assert [edge.worse for edge in worse] == ["+34.0 ms"]
        drawn = draw(marked)
        assert "way-worse" in drawn and "▲ +34.0 ms" in drawn


addresses = st.one_of(st.none(), st.integers(1, 30).map(lambda n: f"10.0.0.{n}"))
sets_of_paths = st.dictionaries(
    st.text(st.characters(blacklist_characters="\0"), min_size=1, max_size=8),
    st.lists(addresses, min_size=1, max_size=15), max_size=5,
)  # fmt: skip


@given(sets_of_paths, sets_of_paths, st.booleans(), st.sampled_from(sorted(GROUPS)))
def test_any_set_of_paths_is_a_valid_picture(now, then, reached: bool, group: str) -> None:
    traced = [{name: trace(*hops, reached=reached) for name, hops in each.items()} for each in (now, then)]
    for made in (graph("x <&> \u0001", traced[0], group), against("x <&>", traced[0], traced[1], group)):
        drawn = draw(worsened(made, {("10.0.0.1", "10.0.0.2"): "<&>"}))
        assert bool(drawn) == bool(now)
        if drawn:
            names = [node.attrib.get("class", "") for node in ET.fromstring(drawn).iter()]
            assert sum(name.startswith("box box-") for name in names) == len(made.nodes)
            assert sum(name.startswith("way ") for name in names) == len(made.edges)
