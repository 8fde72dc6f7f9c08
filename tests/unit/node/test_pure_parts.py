"""The node's deciding parts know no clock, socket, file or chance: what they decide can be replayed."""

import ast
from pathlib import Path

import pytest

import nettrace.node

FORBIDDEN = {
    "asyncio",
    "socket",
    "ssl",
    "time",
    "random",
    "secrets",
    "os",
    "pathlib",
    "threading",
    "sqlite3",
    "http",
}


@pytest.mark.parametrize("name", ["schedule", "moved", "offset"])
def test_it_imports_nothing_that_touches_the_world(name: str) -> None:
    tree = ast.parse((Path(nettrace.node.__path__[0]) / f"{name}.py").read_text())
    names = {
        each.split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for each in (
            [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
        )
    }
    assert not names & FORBIDDEN
