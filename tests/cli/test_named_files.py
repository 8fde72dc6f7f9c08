"""A file that cannot be read, whichever option names it: what happened, to what, what to do next, on one line."""

import signal
import sys
from pathlib import Path

import pytest

from nettrace.cli.root import main

NODE = "node --hub http://127.0.0.1:1 --region fra --data {folder}/node --token-file {file}"
SETTINGS = {
    "facts": "registry list --registry {file}",
    "hub's facts": "up --no-node --data {folder}/hub --registry {file}",
    "claims": "claim list --file {file}",
    "claims of lines": "claim check --file {file}",
    "matrix": "registry import-matrix {file} --source mine",
    "targets": "targets check {file}",
    "hub's targets": "up --no-node --data {folder}/hub --targets {file}",
    "fleet": "fleet plan --file {file}",
    "expectations": "validate --file {file} --data {folder}/hub",
    "evidence": "estimate --evidence {file} fra nyc",
    "rules": "alerts rules --rules {file} --data {folder}/hub",
    "token": NODE,
    "minima": "where --rtt {file} api.example.com",
    "series": "signals replay {file}",
    "series ahead": "signals forecast {file}",
}
"""Option by option; where the file is wrong the command line is, so they end with 2."""
SOURCES = {
    "traces": "routes replay {file}",
    "prefixes": "routes replay --asn {file} {folder}/empty",
    "atlas": "import atlas {file}",
    "world": "lab up {file}",
    "latencies": "market lead-lag --latency {file} --data {folder}/hub",
    "events": "market study --events {file} --data {folder}/hub",
}
"""Other people's data, which end with 1."""
BINARY = {"traces", "prefixes", "atlas"}
"""Those read line by line whatever the bytes, and say of each line what it is not."""
EVERY = [pytest.param(words, 2, id=name) for name, words in SETTINGS.items()] + [
    pytest.param(words, 1, id=name) for name, words in SOURCES.items()
]


@pytest.fixture
def ended(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    """Runs a command line to its end; gives the exit code and stderr."""
    before = signal.getsignal(signal.SIGTERM)

    def run(line: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["nettrace", *line.split()])
        with pytest.raises(SystemExit) as end:
            main()
        return int(end.value.code or 0), capsys.readouterr().err

    yield run
    signal.signal(signal.SIGTERM, before)


def _said(err: str, file: Path) -> str:
    """The one line of it, which names the file and ends with what to do."""
    line = err.splitlines()[-1]
    assert str(file) in line
    for raw in ("Errno", "codec", "Traceback"):
        assert raw not in err
    if line.startswith("Error: "):  # click refuses it and shows how to get help
        assert "Try 'nettrace" in err
        return line
    assert len(err.splitlines()) == 1
    what, _, hint = line.rpartition(". ")
    assert what.startswith("nettrace: cannot read ")
    assert hint
    return line


@pytest.mark.parametrize(("words", "code"), EVERY)
def test_a_file_that_is_not_there(words: str, code: int, ended, tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    file = tmp_path / "nope.toml"

    found, err = ended(words.format(file=file, folder=tmp_path))

    line = _said(err, file)
    assert "No such file" in line or "does not exist" in line
    assert found == (2 if line.startswith("Error: ") else code)


@pytest.mark.parametrize(("words", "code"), EVERY)
def test_a_folder(words: str, code: int, ended, tmp_path: Path) -> None:
    (tmp_path / "empty").touch()

    found, err = ended(words.format(file=tmp_path, folder=tmp_path))

    line = _said(err, tmp_path)
    assert "directory" in line
    assert found == (2 if line.startswith("Error: ") else code)


@pytest.mark.parametrize(("words", "code"), [each for each in EVERY if each.id not in BINARY])
def test_bytes_that_are_no_text(words: str, code: int, ended, tmp_path: Path) -> None:
    file = tmp_path / "bytes.toml"
    file.write_bytes(b"a,caf\xe9\n")

    found, err = ended(words.format(file=file, folder=tmp_path))

    assert "byte 0xe9 is not UTF-8. Save it as text in UTF-8" in _said(err, file)
    assert found == code


@pytest.mark.parametrize("name", ["targets", "hub's targets"])
def test_a_list_without_one_target(name: str, ended, tmp_path: Path) -> None:
    file = tmp_path / "empty.toml"
    file.touch()

    found, err = ended(SETTINGS[name].format(file=file, folder=tmp_path))

    assert found == 2
    assert err == f"nettrace: {file} names no target. Write [[target]] for each: docs/guides/targets.md\n"


def test_on_a_narrow_terminal_the_line_breaks_between_words(
    ended, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nettrace.cli.output.page_width", lambda _stream=None: 40)

    _, err = ended(f"registry list --registry {tmp_path}/nope.toml")

    assert err.splitlines()[1:], "it is longer than the terminal is wide"
    assert " ".join(err.split()).endswith("Check the path given with --registry or NETTRACE_REGISTRY")
