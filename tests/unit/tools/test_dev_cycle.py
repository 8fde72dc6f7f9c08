"""The fast path of a developer: what a change concerns runs, and a change that concerns nothing is said."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "tools"))
import dev_cycle  # noqa: E402 - a program beside the package

FILES = {
    "src/tiny/__init__.py": "",
    "src/tiny/depth.py": "def depth():\n    return 1\n",
    "src/tiny/middle.py": "from tiny.depth import depth\n\n\ndef middle():\n    return depth()\n",
    "src/tiny/called.py": "print('called')\n",
    "src/tiny/table.py": "COMMANDS = {'called': 'tiny.called'}\n",
    "src/tiny/web/__init__.py": "",
    "src/tiny/web/page.py": "PAGE = 'page.html'\n",
    "src/tiny/web/page.html": "<p>",
    "src/tiny/alone.py": "",
    "tests/surface/test_middle.py": "from tiny.middle import middle\n\n\ndef test_it():\n    assert middle() == 1\n",
    "tests/surface/test_table.py": "from tiny import table\n\n\ndef test_it():\n    assert table.COMMANDS\n",
    "tests/surface/test_page.py": "from tiny.web.page import PAGE\n\n\ndef test_it():\n    assert PAGE\n",
    "tests/surface/conftest.py": "",
    "tests/surface/facts.csv": "1\n",
    "tests/surface/facts.py": "NAME = 'facts.csv'\n",
    "tests/surface/test_facts.py": "from tests.surface.facts import NAME\n\n\ndef test_it():\n    assert NAME\n",
}


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("tiny")
    for name, text in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    git(root, "init", "-q")
    git(root, "add", ".")
    git(root, "-c", "user.name=a", "-c", "user.email=a@example.org", "commit", "-q", "-m", "first")
    return root


@pytest.fixture(scope="module")
def imports(checkout: Path):
    yield dev_cycle.Imports(checkout, "tiny")
    sys.path.remove(str(checkout / "src"))


def git(root: Path, *words: str) -> None:
    subprocess.run(["git", *words], cwd=root, check=True)


@pytest.mark.parametrize(
    ("changed", "tests"),
    [
        ("src/tiny/middle.py", ["test_middle.py"]),
        ("src/tiny/depth.py", ["test_middle.py"]),  # over two imports
        ("src/tiny/called.py", ["test_table.py"]),  # named in quotes: found when it is called
        ("src/tiny/web/page.html", ["test_page.py"]),  # a template: who names it
        ("tests/surface/facts.csv", ["test_facts.py"]),  # a table of the tests
        ("tests/surface/test_page.py", ["test_page.py"]),
        (
            "tests/surface/conftest.py",
            ["test_facts.py", "test_middle.py", "test_page.py", "test_table.py"],
        ),
    ],
)
def test_a_change_concerns_all_that_reach_it(imports, changed, tests):
    found = dev_cycle.mapped([changed], imports)
    assert [Path(name).name for name in found.tests] == tests
    assert not found.uncovered
    assert found.everything is None


def test_a_change_that_no_test_notices_is_said(imports):
    assert dev_cycle.mapped(["src/tiny/alone.py"], imports).uncovered == ("src/tiny/alone.py",)


def test_what_everything_stands_on_means_the_whole_suite(imports):
    found = dev_cycle.mapped(["pyproject.toml", "src/tiny/depth.py"], imports)
    assert found.everything is not None
    assert "pyproject.toml" in found.everything


def test_changed_files_are_gits_with_new_ones_on_request(checkout):
    (checkout / "src/tiny/depth.py").write_text("def depth():\n    return 2\n")
    (checkout / "src/tiny/fresh.py").write_text("")
    try:
        assert dev_cycle.changed_files(checkout, "HEAD", untracked=False) == ["src/tiny/depth.py"]
        assert dev_cycle.changed_files(checkout, "HEAD", untracked=True) == [
            "src/tiny/depth.py",
            "src/tiny/fresh.py",
        ]
    finally:
        (checkout / "src/tiny/fresh.py").unlink()
        git(checkout, "checkout", "-q", "src/tiny/depth.py")


def test_what_does_not_compile_is_told_in_the_compilers_words(tmp_path):
    (tmp_path / "good.py").write_text("x = 1\n")
    (tmp_path / "bad.py").write_text("x = = 1\n")
    (complaint,) = dev_cycle.compiled(tmp_path, ["good.py", "bad.py", "gone.py"], jobs=2)
    assert "bad.py" in complaint and "SyntaxError" in complaint


def test_one_process_keeps_the_order_of_the_files():
    one = dev_cycle.pytest_command(["a.py", "b.py"], parallel=False, jobs=2)
    assert "no:randomly" in one and "no:xdist" in one
    assert "-n" in dev_cycle.pytest_command(["a.py", "b.py"], parallel=True, jobs=2)
