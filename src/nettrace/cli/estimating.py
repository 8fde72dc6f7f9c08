"""What commands bring together to estimate latencies: tables of evidence in files, the registry, the gazetteer."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nettrace.runtime.named_file import read_text

if TYPE_CHECKING:
    from nettrace.hub.estimating import Table
    from nettrace.placement.estimates.evidence import Evidence
    from nettrace.placement.registry.facts import Registry


def evidence_option(command: Callable[..., object]) -> Callable[..., object]:
    """Adds `--evidence FILE`, several times."""
    return click.option(
        "--evidence",
        type=click.Path(path_type=Path, dir_okay=False),
        multiple=True,
        envvar="NETTRACE_EVIDENCE",
        help="Round trips you know (CSV: a,b,p50_ms and more; see the guide on estimates), on top of what ships.",
    )(command)


def estimates_option(command: Callable[..., object]) -> Callable[..., object]:
    """Adds `--estimates registry|all|never`."""
    return click.option(
        "--estimates",
        type=click.Choice(["registry", "all", "never"]),
        default="registry",
        show_default=True,
        help="Pairs without a latency that are estimated: of registry venues and sites, all with coordinates, or none.",
    )(command)


def tables(files: Iterable[Path]) -> "list[Table]":
    """The texts of a user's tables.

    Raises:
        ConfigError: a file cannot be read.
    """
    return [(read_text(file), str(file)) for file in files]


def evidence_with(files: Iterable[Path], facts: "Registry") -> "Evidence":
    """What ships and what a user's tables hold; errors as `hub.estimating.evidence_of`, and for files that cannot be read."""
    from nettrace.hub.estimating import evidence_of

    return evidence_of(tables(files), facts)
