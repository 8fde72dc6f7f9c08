"""Every command line that README or docs show can be typed: its commands, options and values exist."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from tests.docs.pages import ROOT, blocks, generated, name, pages, prose

from nettrace.cli.root import COMMANDS, group

INLINE = re.compile(r"`((?:\./dev run -- |nettrace )[^`]*|nettrace)`")
PLACEHOLDER = re.compile(r"[A-Z][A-Z_.]*")
NO_FILE = re.compile(r"No such file|does not exist")
"""The page's files need not be here."""


def quoted(page: Path) -> Iterator[str]:
    """Command lines a page shows: in console blocks behind `$ ` (or alone), and as code in its prose."""
    for block in blocks(page, "console", "sh"):
        lines = block.replace("\\\n", " ").splitlines()
        shown = [line[2:] for line in lines if line.startswith("$ ")] or lines
        yield from (line.split(" #")[0] for line in shown)
    yield from INLINE.findall(prose(page))


def calls(line: str) -> Iterator[list[str]]:
    """The words of each `nettrace` or `./dev` call in a line of shell, those in quotes of `eval` included."""
    for inner in re.findall(r"\$\((nettrace [^)]*)\)", line):
        yield from calls(inner)
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    words: list[str] = []
    for word in [*lexer, ";"]:
        if not set(word) <= set(";|&<>()"):
            words.append(word)
            continue
        if words and words[0] in ("nettrace", "./dev"):
            yield words
        words = []


def parse(words: list[str]) -> None:
    """Raise click's error if the words cannot be a call of `nettrace`."""
    command: click.Command = group
    context = group.make_context("nettrace", list(words))
    while isinstance(command, click.Group) and (rest := [*context._protected_args, *context.args]):
        _, found, rest = command.resolve_command(context, rest)
        assert found is not None
        command, context = found, found.make_context(found.name, rest, parent=context)
    if words[:2] == ["lab", "exec"]:
        inside = [str(word) for word in context.params["words"]]
        if inside[0] == "nettrace":
            parse(inside[1:])


LINES = [
    pytest.param(line, id=f"{name(page)}: {line[:60]}")
    for page in pages()
    if not generated(page)
    for line in dict.fromkeys(quoted(page))
    if any(calls(line))
]


def test_the_pages_show_command_lines() -> None:
    assert len(LINES) > 60


def arguments(call: list[str]) -> list[str]:
    """What `nettrace` gets to see of a call."""
    program, *words = call
    if program == "nettrace":
        return words
    assert words[0].partition("|")[0] in dev_commands(), f"./dev has no {words[0]}"
    if words[0] == "demo":
        return words
    return [word for word in words[1:] if word != "--"] if words[0] == "run" else []


@pytest.mark.parametrize("line", LINES)
def test_every_quoted_command_line_parses(line: str) -> None:
    for call in calls(line):
        words = arguments(call)
        if words and PLACEHOLDER.fullmatch(words[0]):
            continue  # `nettrace ARGS`
        try:
            parse(words)
        except (click.MissingParameter, click.exceptions.NoArgsIsHelpError):
            pass  # prose names a command without its arguments
        except click.exceptions.Exit:
            pass  # --help and --version
        except click.BadParameter as wrong:
            assert NO_FILE.search(wrong.message) or PLACEHOLDER.search(line), wrong.message


def dev_commands() -> set[str]:
    """The commands of `./dev`, from its source: the table stands there once."""
    return set(re.findall(r'^    "(\w+)": \(\w+, "', (ROOT / "dev").read_text(), re.MULTILINE))


@pytest.mark.parametrize(
    "planted", ["nettrace pong HOST", "nettrace ping HOST --colour", "nettrace ping -n many HOST"]
)
def test_the_check_notices_what_cannot_be_typed(planted: str) -> None:
    with pytest.raises(click.UsageError):
        parse(planted.split()[1:])


def test_readme_gives_the_two_commands_and_a_third() -> None:
    first = next(blocks(ROOT / "README.md", "console"))
    assert first.startswith("./dev demo")
    assert [line.split()[1] for line in first.splitlines()] == ["demo", "test", "run"]
    assert {"demo", "test", "run"} <= dev_commands()


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_in_the_readme_and_in_a_guide(command: str) -> None:
    assert f"`nettrace {command}`" in (ROOT / "README.md").read_text()
    told = [page for page in pages() if not generated(page) and page.parent.name in {"guides", "start"}]
    assert any(f"nettrace {command}" in page.read_text() for page in told)


def test_every_dev_command_is_mentioned() -> None:
    text = "".join(page.read_text() for page in pages())
    assert not [
        command for command in dev_commands() if f"./dev {command}" not in text and f"|{command}" not in text
    ]
