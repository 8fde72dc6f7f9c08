"""Takes the pictures in `docs/assets` from real runs in the lab: `python scripts/pictures.py` (needs tmux).

Each picture is the screen of a terminal in which the command really ran, colours and all, drawn as SVG by rich.
Fonts are the reader's own: nothing is fetched when the picture is shown.
"""

import os
import re
import subprocess
import sys
import time
from io import StringIO
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.text import Text

from nettrace.lab.session import RunningLab

ROOT = Path(__file__).resolve().parent.parent
ASSETS = ROOT / "docs" / "assets"
LONGEST_S = 60


class Picture(NamedTuple):
    """One screen.

    Attributes:
        shown: the command as its reader would type it.
        where: vantage it runs at, or None for outside the lab.
        until: the picture is taken when the screen shows this.
        rows: height of the terminal; empty lines at the end are cut off.
    """

    name: str
    shown: str
    where: str | None
    until: str
    columns: int = 100
    rows: int = 40


PICTURES = (
    Picture("demo", "./dev demo", None, r"is mended", 144, 80),
    Picture("trace", "nettrace trace engine.bybit.lab -4 --from EWR --to Singapore", "ewr", r"reached in"),
    Picture(
        "watch",
        "nettrace trace engine.bybit.lab -4 --from EWR --to Singapore --watch -i 0.5",
        "ewr",
        r"2\d of 2\d traces",
        132,
        26,
    ),
    Picture("snapshot", "nettrace --from EWR", "ewr", r"Next:", 108),
)


def tmux(*words: str) -> str:
    """What tmux says; it has its own server, which ends with its last session."""
    done = subprocess.run(
        ["tmux", "-L", f"nettrace-{os.getpid()}", "-f", "/dev/null", *words],
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout


def screen(picture: Picture, lab: RunningLab) -> str:
    """The lines of the terminal, with their colour codes, once the wanted text is there."""
    command = picture.shown.replace("./dev demo", "nettrace lab demo --once")
    if picture.where:
        command = f"nettrace lab exec --name {lab.home.name} {picture.where} -- {command}"
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    size = ["-x", str(picture.columns), "-y", str(picture.rows)]
    shell = f"PATH={path} TERM=screen-256color {command}; sleep {LONGEST_S}"
    tmux("new-session", "-d", "-s", "picture", *size, f"sh -c '{shell}'")
    try:
        until = time.monotonic() + LONGEST_S
        while not re.search(picture.until, tmux("capture-pane", "-p", "-t", "picture")):
            if time.monotonic() > until:
                raise SystemExit(f"{picture.name}: '{picture.until}' did not appear")
            time.sleep(0.2)
        return tmux("capture-pane", "-p", "-e", "-t", "picture").rstrip()
    finally:
        tmux("kill-session", "-t", "picture")


def drawn(picture: Picture, lines: str) -> str:
    """The terminal as SVG."""
    console = Console(record=True, width=picture.columns, file=StringIO(), force_terminal=True)
    console.print(Text(f"$ {picture.shown}", style="bold"))
    console.print(Text.from_ansi(lines), no_wrap=True, crop=True)
    svg = console.export_svg(title="NetTrace in its lab", unique_id=f"nettrace-{picture.name}")
    svg = svg.replace("<text ", '<text xml:space="preserve" ')
    svg = re.sub(r"@font-face \{.*?\}", "", svg, flags=re.DOTALL)
    return re.sub(r"[ \t]+$", "", svg.replace("Fira Code, monospace", "monospace"), flags=re.MULTILINE)


def main() -> int:
    """Take the pictures named on the command line, or all."""
    ASSETS.mkdir(exist_ok=True)
    wanted = [each for each in PICTURES if each.name in (sys.argv[1:] or [p.name for p in PICTURES])]
    with RunningLab.start("world", name=f"pictures-{os.getpid()}") as lab:
        for picture in wanted:
            (ASSETS / f"{picture.name}.svg").write_text(drawn(picture, screen(picture, lab)))
            print(f"docs/assets/{picture.name}.svg")
    return 0


if __name__ == "__main__":
    sys.exit(main())
