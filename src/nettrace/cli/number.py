"""Numbers as options take them: bounded and finite, so that a slip of the finger is a usage error and nothing else."""

from typing import Any

import click

LONGEST_WAIT_S = 3600.0
LONGEST_PAUSE_S = 86_400.0
MOST_PPS = 1_000_000.0


class Finite(click.FloatRange):
    """A number within bounds; `nan` and `inf`, which compare with nothing or pass every bound, are refused."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The number, or a usage error."""
        number = super().convert(value, param, ctx)
        if number != number:  # noqa: PLR0124 - only nan differs from itself
            self.fail(f"{value} is not a number.", param, ctx)
        return number


def seconds_to_wait() -> Finite:
    """A timeout: more than nothing, at most an hour."""
    return Finite(0.001, LONGEST_WAIT_S)


def seconds_between() -> Finite:
    """A pause: nothing to a day."""
    return Finite(0, LONGEST_PAUSE_S)


def packets_a_second() -> Finite:
    """A rate: one packet in ten seconds to a million a second."""
    return Finite(0.1, MOST_PPS)


interval_option = click.option(
    "-i", "--interval", type=seconds_between(), default=0.2, show_default=True, help="Seconds between probes to one target.",
)  # fmt: skip
"""`-i`: how close the probes of one target are."""

timeout_option = click.option(
    "--timeout", type=seconds_to_wait(), default=2.0, show_default=True, help="Seconds to wait for each answer.",
)  # fmt: skip
"""`--timeout` of a probe."""
