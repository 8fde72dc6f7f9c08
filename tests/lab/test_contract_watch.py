"""`nettrace trace --watch` on a real terminal, over real packets, while cables are cut."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cli.program import PATIENCE_S, PROGRAM, nettrace

from nettrace.lab.session import RunningLab
from nettrace.lab.world import Event

pytestmark = [pytest.mark.lab, pytest.mark.root]

ESCAPE = re.compile(r"\x1b(\[[0-9;?]*[A-Za-z]|[()][A-Z0-9]|[=>])")
FRAME = "\x1b[H"
KEYS = "q end   p pause   r start over"
ALTERNATE, BACK = "\x1b[?1049h", "\x1b[?1049l"
LATER_ROW = r"(?m)^ *1[0-2]  \S"
"""A row of hop 10, 11 or 12 by its TTL: round trips end in any figures."""
WATCH = ("trace", "west.lab", "-4", "--watch", "-i", "0.2", "--from", "New York", "--to", "San Francisco")


class Terminal:
    """A program on a terminal of its own, with everything it wrote."""

    def __init__(self, words: list[str], columns: int, rows: int, **environment: str) -> None:
        self.pid, self.master = pty.fork()
        if not self.pid:
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
            os.environ.update(environment, TERM="xterm-256color", LANG="C.UTF-8")
            os.execvp(words[0], words)
        self.written = ""
        self.code: int | None = None

    def __enter__(self) -> "Terminal":
        return self

    def __exit__(self, *_: object) -> None:
        if self.code is None:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self.master)

    def frames(self) -> list[str]:
        """The screens drawn so far, without colour."""
        return [ESCAPE.sub("", frame).replace("\r", "") for frame in self.written.split(FRAME)[1:]]

    def wait(self, pattern: str) -> str:
        """The first screen from now on that has this on it."""
        begun = max(1, len(self.frames()))
        until = time.monotonic() + PATIENCE_S
        while time.monotonic() < until:
            self._read(0.2)
            for frame in self.frames()[begun - 1 :]:
                if re.search(pattern, frame) and KEYS in frame:  # the whole of it has come
                    return frame
        raise AssertionError(f"never saw {pattern!r}; last screens: {self.frames()[-2:]}")

    def press(self, keys: str) -> None:
        os.write(self.master, keys.encode())

    def end(self) -> int:
        """The exit code, when the program has ended by itself."""
        until = time.monotonic() + PATIENCE_S
        while time.monotonic() < until and self._read(0.2):
            pass
        _, status = os.waitpid(self.pid, 0)
        self.code = os.waitstatus_to_exitcode(status)
        return self.code

    def _read(self, seconds: float) -> bool:
        ready, _, _ = select.select([self.master], [], [], seconds)
        if not ready:
            return True
        try:
            chunk = os.read(self.master, 65_536)
        except OSError:
            return False  # nobody has the terminal open any more
        self.written += chunk.decode("utf-8", "replace")
        return bool(chunk)


@pytest.fixture(scope="module")
def lab(lab_permitted: None) -> Iterator[RunningLab]:
    with RunningLab.start("small", name=f"watch-{os.getpid()}") as running:
        yield running


@pytest.fixture(scope="module")
def databases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database of the lab's own networks."""
    home = tmp_path_factory.mktemp("data")
    table = home / "asn.csv"
    table.write_text(
        "198.18.0.0/24,64601,NORTHLIGHT\n198.18.1.0/24,64602,TIDEWATER\n198.18.3.0/24,64702,CIRRUS\n"
    )
    done = nettrace("databases", "add", "asn", str(table), env={"XDG_DATA_HOME": str(home)})
    assert done.code == 0, done.err
    return home


def watch(lab: RunningLab, columns: int, rows: int, *more: str, **environment: str) -> Terminal:
    return Terminal([*lab.prefix("nyc"), *PROGRAM, *(more or WATCH)], columns, rows, **environment)


def check_restored(terminal: Terminal) -> None:
    assert terminal.written.count(ALTERNATE) == terminal.written.count(BACK) == 1
    assert terminal.written.rindex("\x1b[?25h") > terminal.written.rindex("\x1b[?25l"), "the cursor is gone"


@pytest.mark.parametrize(("columns", "rows"), [(80, 24), (200, 50), (50, 12)])
def test_every_screen_fits_and_keys_do_what_they_say(
    lab: RunningLab, databases: Path, columns: int, rows: int
) -> None:
    with watch(lab, columns, rows, XDG_DATA_HOME=str(databases)) as terminal:
        frame = terminal.wait(r"[3-9] of [3-9] traces" if columns > 50 else r"12  \S+ .*%")
        lines = frame.split("\n")
        assert len(lines) <= rows
        assert all(len(line) <= columns for line in lines), frame
        assert re.search(r"ttl +hop +loss +last +best", frame)
        assert frame.rstrip().endswith(KEYS)
        if columns >= 80:
            assert re.search(r"12  \S+ .*\dx", frame), "no stretch"
            assert "AS64601" in frame
            assert "the fibre floor" in frame
        terminal.press("p")
        terminal.wait("paused")
        terminal.press("pr")
        terminal.wait(r" [12] of [12] traces" if columns > 50 else r"12  \S+ .*%")
        terminal.press("q")
        assert terminal.end() == 0
        check_restored(terminal)
        after = terminal.written[terminal.written.rindex(BACK) :]
        assert "west.lab" in after, "the last state stays on the terminal"


def test_a_cut_cable_is_seen_and_so_is_its_repair(lab: RunningLab) -> None:
    with watch(lab, 80, 30) as terminal:
        assert re.search(LATER_ROW, terminal.wait(r"\b[3-9] of [3-9] traces"))
        lab.happen(Event(kind="cut", subject="plains-1"))
        try:
            frame = terminal.wait(r"the path changed from hop 4 on: 12 → 9 hops, [0-9.]+ → [0-9.]+ ms")
            assert re.search(r"  9  \*west.lab", frame)
            assert "* is new on the path" in frame
            assert not re.search(LATER_ROW, frame), "rows of the old path are gone"
        finally:
            lab.happen(Event(kind="restore", subject="plains-1"))
        terminal.wait(r"9 → 12 hops")
        terminal.press("q")
        assert terminal.end() == 0


def test_a_target_that_dies_is_shown_as_not_reached_and_q_still_ends_at_once(lab: RunningLab) -> None:
    words = ("trace", "dark.lab", "-4", "--watch", "-i", "0.2", "--timeout", "20")
    with watch(lab, 80, 30, *words) as terminal:
        terminal.wait("looking for the path")
        terminal.press("q")
        assert terminal.end() == 0
        check_restored(terminal)
    with watch(lab, 80, 30, *words[:-1], "0.2") as terminal:
        assert re.search(r"0 of \d+ traces reached", terminal.wait(r"not reached \(gap\)"))
        terminal.press("q")
        assert terminal.end() == 0


@pytest.mark.parametrize("ending", ["ctrl-c", "SIGTERM"])
def test_an_interrupt_gives_the_terminal_back(lab: RunningLab, ending: str) -> None:
    with watch(lab, 80, 24) as terminal:
        terminal.wait(r"\d of \d+ traces")
        if ending == "ctrl-c":
            terminal.press("\x03")
        else:
            os.kill(terminal.pid, signal.SIGTERM)
        assert terminal.end() == 130
        check_restored(terminal)


def test_what_cannot_be_watched_ends_with_a_word_and_an_untouched_terminal(lab: RunningLab) -> None:
    with watch(lab, 80, 24, "trace", "nobody.lab", "--watch") as terminal:
        assert terminal.end() == 1
        assert "nobody.lab: the name does not exist" in terminal.written
        assert terminal.written.count(ALTERNATE) == terminal.written.count(BACK)


def test_without_a_terminal_it_says_what_to_do_instead() -> None:
    done = nettrace("trace", "127.0.0.1", "--watch")
    assert (done.code, done.out) == (2, "")
    assert "needs a terminal" in done.err
