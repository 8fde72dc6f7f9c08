"""The emulated net's shape is one function said twice, in C and in Python; both must say the same."""

import subprocess
from pathlib import Path

import pytest
from bench.emulator import compiled
from bench.net import Net, mix, router_address
from hypothesis import given, settings
from hypothesis import strategies as st

CROOKED = Net(seed=7, hops_min=8, hops_max=20, ecmp=4, silent_routers=0.12, silent_targets=0.05)


@pytest.fixture(scope="session")
def router() -> Path:
    return compiled()


def of_router_c(program: Path, net: Net, lines: list[str]) -> list[list[str]]:
    done = subprocess.run(
        [program, "paths", *net.parameters()],
        input="\n".join(lines),
        capture_output=True,
        text=True,
        check=True,
    )
    return [line.split() for line in done.stdout.splitlines()]


@pytest.mark.tool("cc")
@pytest.mark.parametrize(
    "net", [Net(), CROOKED, Net(seed=2**63, ecmp=8, fan_bits=15)], ids=["plain", "crooked", "private"]
)
def test_router_c_and_python_agree_on_every_path(router: Path, net: Net) -> None:
    probes = [(f"10.201.{n >> 8}.{n & 255}", 17, n * 77 << 16 | 33434) for n in range(1, 400)]
    source = "10.200.0.1"
    words = [
        f"{0x0AC80001:x} {0x0AC90000 + n:x} {proto:x} {word & 0xFFFFFFFF:x} 0"
        for n, (_, proto, word) in enumerate(probes, 1)
    ]
    answered = of_router_c(router, net, words)
    assert len(answered) == len(probes)
    for (address, proto, word), (length, *hops, end) in zip(probes, answered, strict=True):
        path = net.path(source, address, proto, word & 0xFFFFFFFF)
        assert int(length) == len(path) == net.length(address)
        assert (end == "target") == (path[-1] == address)
        for hop, said in zip(path[:-1], hops, strict=True):
            assert hop == (None if said.endswith("*") else router_address(int(said, 16)))


@given(word=st.integers(0, 2**32 - 1), number=st.integers(1, 65535))
@settings(deadline=None)
def test_one_flow_sees_one_path_and_always_one_of_the_choices(word: int, number: int) -> None:
    address = CROOKED.target(number)
    path = CROOKED.path("10.200.0.1", address, 6, word)
    assert path == CROOKED.path("10.200.0.1", address, 6, word)
    for hop, choices in zip(path[:-1], CROOKED.choices(address), strict=True):
        assert hop is None or hop in choices


def test_flows_differ_at_diamonds_only() -> None:
    address = CROOKED.target(5)
    paths = [CROOKED.path("10.200.0.1", address, 17, word) for word in range(64)]
    varied = {ttl for ttl, hops in enumerate(zip(*paths, strict=True), 1) if len(set(hops)) > 1}
    assert varied
    assert all(ttl % 5 in (2, 3) for ttl in varied)


def test_targets_share_their_first_hops_and_not_their_last() -> None:
    net = Net()
    paths = [net.path("10.200.0.1", address, 17, 1) for address in net.targets(500)]
    assert len({path[0] for path in paths}) <= 4
    assert len({path[-2] for path in paths}) > 490


def test_mix_is_the_published_generator() -> None:
    # The first output of splitmix64 seeded with 0 (reference implementation by S. Vigna).
    assert mix(0, 0) == 0xE220A8397B1DCDAF
