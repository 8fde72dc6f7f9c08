#!/usr/bin/env python3
"""Seconds instead of minutes while you work: compile what changed, run the tests that can notice, say how long it took.

    .venv/bin/python tools/dev_cycle.py [--full] [--include-untracked] [--no-parallel-tests] [--base COMMIT]

A changed module concerns every test that reaches it over imports, however long the way (grimp's graph of `src`, the
imports of `tests` and `bench` beside it). A changed template, table or style concerns what names it, or else its
whole package; a `conftest.py` all below it; `pyproject.toml`, the lock and `./dev` everything. A change that concerns
no test is a failure that says so: silence would look like success.
"""

import argparse
import ast
import os
import re
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

import grimp

ROOT = Path(__file__).resolve().parent.parent
EVERYTHING = {"pyproject.toml", "requirements.lock", "dev", "conftest.py", "tests/conftest.py", ".ci/run"}
_QUOTED = re.compile(r"[\"']([A-Za-z_][\w.]*)[\"']")
NO_TEST = {"CHANGELOG.md", "LICENSE", "SECURITY.md", ".gitignore"}
"""Files that no test reads. `changelog.d/` is one more."""
_SAME_EVERYWHERE = {"PYTHONHASHSEED": "0"}
"""Every process names a test that is made from a set alike, and so does the next run."""
PROGRAMS = ("tests", "bench", "scripts", "tools")


class Mapped(NamedTuple):
    """What has to run for a set of changes.

    Attributes:
        tests: files for pytest, relative to the root, in order.
        everything: why the whole suite is needed, or None.
        uncovered: changed files that concern no test.
    """

    tests: tuple[str, ...]
    everything: str | None
    uncovered: tuple[str, ...]


class Imports:
    """Who imports whom: the package by grimp, the programs around it by their own import lines.

    Args:
        root: the checkout.
        package: name of the package below `src`.
    """

    def __init__(self, root: Path, package: str = "nettrace") -> None:
        self.root = root
        self.package = package
        sys.path.insert(0, str(root / "src"))
        graph = grimp.build_graph(package, cache_dir=str(root / ".cache" / "dev_cycle"))
        self._importers: dict[str, set[str]] = defaultdict(set)
        for module in graph.modules:
            for imported in graph.find_modules_directly_imported_by(module):
                self._importers[imported].add(module)
            parent = module.rpartition(".")[0]
            if parent in graph.modules:
                self._importers[parent].add(module)  # importing a module runs its package first
        self.programs = {_module(path.relative_to(root)): path for path in _programs(root)}
        for name, path in self.programs.items():
            for imported in _imported(path):
                for known in _prefixes(imported):
                    self._importers[known].add(name)
        for module in graph.modules:
            self._started(module, root / "src" / Path(*module.split(".")).with_suffix(".py"), graph.modules)
        for name, path in self.programs.items():
            self._started(name, path, graph.modules)

    def _started(self, name: str, path: Path, known: Collection[str]) -> None:
        """Modules that a text names in quotes: commands found when they are called, programs run with `-m`.

        Whoever runs the whole product in a process of its own stands on all of it; that is what `--full` is for.
        """
        text = path.read_text() if path.exists() else ""
        for quoted in set(_QUOTED.findall(text)) & set(known) - {self.package}:
            self._importers[quoted].add(name)

    def reached_by(self, module: str) -> set[str]:
        """The module and all that import it, directly or not."""
        found, waiting = {module}, [module]
        while waiting:
            for importer in self._importers[waiting.pop()] - found:
                found.add(importer)
                waiting.append(importer)
        return found


def mapped(changed: Iterable[str], imports: Imports) -> Mapped:
    """The tests that changed files concern."""
    tests: set[str] = set()
    uncovered: list[str] = []
    for name in changed:
        if name in EVERYTHING:
            return Mapped((), f"{name} changed, which every test stands on", ())
        if name in NO_TEST or name.startswith("changelog.d/"):
            continue
        concerned = _tests_of(Path(name), imports)
        tests |= concerned
        if not concerned:
            uncovered.append(name)
    return Mapped(tuple(sorted(tests)), None, tuple(uncovered))


def _tests_of(path: Path, imports: Imports) -> set[str]:
    if path.name == "conftest.py":
        return {str(each) for each in _test_files(imports) if each.is_relative_to(path.parent)}
    if path.suffix == ".py":
        modules = imports.reached_by(_module(path))
        own: set[str] = (
            {str(path)}
            if (imports.root / path).exists() and ">>>" in (imports.root / path).read_text()
            else set[str]()
        )
        return _of_modules(modules, imports) | _naming(path, imports) | own
    if path.suffix == ".md":
        examples = {str(path)} if path.parts[0] == "docs" and (imports.root / path).exists() else set[str]()
        return examples | {str(each) for each in _test_files(imports) if each.is_relative_to("tests/docs")}
    return _of_data(path, imports)


def _of_data(path: Path, imports: Imports) -> set[str]:
    """A file that is not code: whoever names it; or, of a package's own, whoever reaches a module of the package."""
    naming = _naming(path, imports)
    if path.parts[0] != "src":
        return naming
    folder = next(each for each in path.parents if (imports.root / each / "__init__.py").exists())
    inside = [each.relative_to(imports.root) for each in (imports.root / folder).rglob("*.py")]
    owners = [each for each in inside if path.name in (imports.root / each).read_text()] or inside
    reached = set[str]().union(*(imports.reached_by(_module(each)) for each in owners))
    return naming | _of_modules(reached, imports)


def _of_modules(modules: set[str], imports: Imports) -> set[str]:
    return {
        str(path.relative_to(imports.root))
        for name, path in imports.programs.items()
        if name in modules and path.name.startswith("test_")
    }


def _naming(path: Path, imports: Imports) -> set[str]:
    """Tests that name the file in their text, or reach a program that does: they run it, or read it."""
    naming = [name for name, each in imports.programs.items() if path.name in each.read_text()]
    return _of_modules(set[str]().union(*(imports.reached_by(name) for name in naming)), imports)


def _test_files(imports: Imports) -> list[Path]:
    return [
        path.relative_to(imports.root) for path in imports.programs.values() if path.name.startswith("test_")
    ]


def _programs(root: Path) -> Iterator[Path]:
    for name in PROGRAMS:
        yield from (root / name).rglob("*.py")


def _module(path: Path) -> str:
    parts = list(path.with_suffix("").parts)
    parts = parts[1:] if parts[0] == "src" else parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _imported(path: Path) -> Iterator[str]:
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except SyntaxError:
        return  # the compile step says it better
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _prefixes(name: str) -> Iterator[str]:
    """`a.b.c` may name a module, or something in the module `a.b`; importing it runs `a`, too."""
    parts = name.split(".")
    yield from (".".join(parts[:length]) for length in range(1, len(parts) + 1))


def changed_files(root: Path, base: str, *, untracked: bool) -> list[str]:
    """Files that differ from a commit, deleted ones too; with `untracked` also new ones that git does not ignore."""
    found = _git(root, "diff", "--name-only", base)
    if untracked:
        found += _git(root, "ls-files", "--others", "--exclude-standard")
    return sorted(set(found))


def _git(root: Path, *words: str) -> list[str]:
    done = subprocess.run(["git", *words], cwd=root, check=True, capture_output=True, text=True)
    return done.stdout.splitlines()


def compiled(root: Path, names: Iterable[str], jobs: int) -> list[str]:
    """Compile Python files side by side; what does not compile, in the compiler's words."""
    paths = [str(root / name) for name in names if name.endswith(".py") and (root / name).exists()]
    if not paths:
        return []
    with ProcessPoolExecutor(min(jobs, len(paths))) as pool:
        return [complaint for complaint in pool.map(_compile, paths) if complaint]


def _compile(path: str) -> str | None:
    try:
        compile(Path(path).read_bytes(), path, "exec", dont_inherit=True)
    except (SyntaxError, ValueError) as error:
        return f"{path}: {type(error).__name__}: {error}"
    return None


def pytest_command(tests: Sequence[str], *, parallel: bool, jobs: int) -> list[str]:
    """How pytest is called: several processes, a file in one of them; or one process, in the order of the files."""
    how = (
        ["-n", str(jobs), "--dist", "loadfile"]
        if parallel and len(tests) != 1
        else ["-p", "no:randomly", "-p", "no:xdist"]
    )
    return [sys.executable, "-m", "pytest", "-q", *how, *tests]


def main(words: Sequence[str] | None = None, root: Path = ROOT) -> int:
    """Run the cycle; 0 when all that ran was green and every change was covered."""
    asked = _asked(words)
    spent: dict[str, float] = {}
    changed = changed_files(root, asked.base, untracked=asked.include_untracked)
    if not changed and not asked.full:
        print("dev_cycle: nothing changed (new files count with --include-untracked)")
        return 0
    began = time.monotonic()
    complaints = compiled(root, changed, asked.jobs)
    spent["compile"] = time.monotonic() - began
    if complaints:
        print("\n".join(complaints))
        return 1
    began = time.monotonic()
    plan = mapped(changed, Imports(root))
    spent["map"] = time.monotonic() - began
    for name in plan.uncovered:
        print(f"dev_cycle: no test notices a change of {name}: write one, or run with --full")
    code = _run(plan, asked, spent, root)
    times = ", ".join(f"{what} {seconds:.1f} s" for what, seconds in spent.items())
    print(f"dev_cycle: {len(changed)} files changed, {len(plan.tests)} test files concerned; {times}")
    return code or (1 if plan.uncovered and not asked.full else 0)


def _run(plan: Mapped, asked: argparse.Namespace, spent: dict[str, float], root: Path) -> int:
    runs: list[tuple[str, tuple[str, ...]]] = [("tests", plan.tests)] if plan.tests else []
    if asked.full or plan.everything:
        print(f"dev_cycle: the whole suite, because {plan.everything or 'you asked for it'}")
        runs.append(("suite", ()))
    for what, tests in runs:
        began = time.monotonic()
        command = pytest_command(tests, parallel=asked.parallel, jobs=asked.jobs)
        done = subprocess.run(command, cwd=root, env=os.environ | _SAME_EVERYWHERE, check=False)
        spent[what] = time.monotonic() - began
        if done.returncode:
            return done.returncode
    return 0


def _asked(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--full", action="store_true", help="the whole suite after the tests concerned")
    parser.add_argument("--include-untracked", action="store_true", help="new files, too")
    parser.add_argument(
        "--no-parallel-tests",
        dest="parallel",
        action="store_false",
        help="one process, files in order: deterministic",
    )
    parser.add_argument("--base", default="HEAD", help="the commit to compare with (default: HEAD)")
    parser.add_argument(
        "--jobs", type=int, default=min(8, os.cpu_count() or 1), help="processes side by side"
    )
    return parser.parse_args(words)


if __name__ == "__main__":
    sys.exit(main())
