"""Every example in a docstring or in the docs is executed."""

from pathlib import Path

from sybil import Sybil
from sybil.parsers.doctest import DocTestParser
from sybil.parsers.markdown import PythonCodeBlockParser, SkipParser

_source = Sybil(parsers=[DocTestParser()], path=str(Path(__file__).parent / "src"), pattern="**/*.py")
_docs = Sybil(
    parsers=[PythonCodeBlockParser(), SkipParser()],
    path=str(Path(__file__).parent / "docs"),
    pattern="**/*.md",
)
pytest_collect_file = (_source + _docs).pytest()
