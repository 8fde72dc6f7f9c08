"""Worlds on paper in which two faults were once taken for one."""

from random import Random

import pytest
from bench.blame import METHODS, VANTAGES, Truth
from bench.blame_world import World, forward_links, plant, traces
from bench.figure import OURS


@pytest.mark.parametrize("seed", [13, 193])
def test_a_second_fault_is_named_though_it_adds_nearly_half_or_all_of_what_the_first_does(seed: int) -> None:
    world = World(Random(seed), VANTAGES)
    planted = plant(world, 2, both_ways=False)
    legs = METHODS[OURS](list(traces(world, planted)))
    truth = Truth(world, planted, forward_links(world))
    assert legs is not None
    assert {truth.meant(link) for link in legs} == truth.bad
