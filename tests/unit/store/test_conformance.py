"""Every engine is a store: the same checks, the same stories, an oracle beside it."""

import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from nettrace.store.embedded.reader import EmbeddedReader
from nettrace.store.embedded.writer import EmbeddedWriter
from nettrace.testing.conformance.made import Story, stories
from nettrace.testing.conformance.store import CHECKS, Engine, story


class Embedded:
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def writer(self) -> EmbeddedWriter:
        return EmbeddedWriter(self._folder)

    def reader(self) -> EmbeddedReader:
        return EmbeddedReader(self._folder)


ENGINES: dict[str, Callable[[Path], Engine]] = {"embedded": Embedded}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_it_does_what_a_store_does(engine: str, check: Callable[[Engine], None], tmp_path: Path) -> None:
    check(ENGINES[engine](tmp_path))


@pytest.mark.parametrize("engine", ENGINES)
@given(told=stories())
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
def test_whatever_nodes_send_it_agrees_with_the_oracle(engine: str, told: Story) -> None:
    with tempfile.TemporaryDirectory() as folder:
        story(ENGINES[engine](Path(folder)), told)
