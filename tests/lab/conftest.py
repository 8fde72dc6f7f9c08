"""One small lab for all tests that only look; tests that break things bring up their own."""

import os
from collections.abc import Iterator

import pytest

from nettrace.lab.devices import tun_permitted
from nettrace.lab.permission import lab_obstacle
from nettrace.lab.session import RunningLab


@pytest.fixture(scope="session")
def lab_permitted() -> None:
    obstacle = lab_obstacle()
    if obstacle is not None:
        pytest.skip(f"no lab is possible here: {obstacle}")


@pytest.fixture(scope="session", params=["veth", "tun"])
def small_lab(lab_permitted: None, request: pytest.FixtureRequest) -> Iterator[RunningLab]:
    if request.param == "tun" and not tun_permitted():
        pytest.skip("TUN devices are not permitted here")
    with RunningLab.start("small", name=f"{request.param}-{os.getpid()}", device=request.param) as lab:
        yield lab
