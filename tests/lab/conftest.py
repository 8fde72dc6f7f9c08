"""One small lab for all tests that only look; tests that break things bring up their own."""

from collections.abc import Iterator

import pytest

from nettrace.lab.permission import lab_obstacle
from nettrace.lab.session import RunningLab


@pytest.fixture(scope="session")
def lab_permitted() -> None:
    obstacle = lab_obstacle()
    if obstacle is not None:
        pytest.skip(f"no lab is possible here: {obstacle}")


@pytest.fixture(scope="session")
def small_lab(lab_permitted: None) -> Iterator[RunningLab]:
    with RunningLab.start("small") as lab:
        yield lab
