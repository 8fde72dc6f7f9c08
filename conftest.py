"""Every example in a docstring or in the docs is executed, those of one file in their order."""

from pathlib import Path

import pytest
from sybil import Sybil
from sybil.integration.pytest import SybilItem
from sybil.parsers.doctest import DocTestParser
from sybil.parsers.markdown import PythonCodeBlockParser, SkipParser

HERE = Path(__file__).parent

_source = Sybil(parsers=[DocTestParser()], path=str(HERE / "src"), pattern="**/*.py")
_docs = Sybil(parsers=[PythonCodeBlockParser(), SkipParser()], path=str(HERE / "docs"), pattern="**/*.md")
pytest_collect_file = (_source + _docs).pytest()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests run in any order; the lines of one example depend on each other and keep theirs."""
    examples = [item for item in items if isinstance(item, SybilItem)]
    examples.sort(key=lambda item: (str(item.path), item.example.line))
    items[:] = [item for item in items if not isinstance(item, SybilItem)] + examples
