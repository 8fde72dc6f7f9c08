"""`--data`: the hub's folder, the same on every command that reads or changes one."""

from collections.abc import Callable
from pathlib import Path

import click


def data_option(command: Callable[..., object]) -> Callable[..., object]:
    """Adds `--data DIR`."""
    return click.option(
        "--data",
        type=click.Path(path_type=Path, file_okay=False),
        envvar="NETTRACE_DATA",
        help="The hub's folder. Default: $XDG_DATA_HOME/nettrace.",
    )(command)
