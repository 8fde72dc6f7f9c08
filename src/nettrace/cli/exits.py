"""Exit codes of the command line, and the one a set of results deserves."""

from collections.abc import Iterable

from nettrace.model.measurement import Outcome

OK = 0
FAILED = 1
USAGE = 2
CONDITION_BROKEN = 3
NO_ACCESS = 4
NOTHING_MEASURED = 5
SOME_FAILED = 6
QUOTA = 7
INTERRUPTED = 130


def exit_code(outcomes: Iterable[Outcome | str]) -> int:
    """The code for these outcomes: all measured 0, some not 6, all failed 1, none even tried 5.

    >>> exit_code(["measured", "failed"]), exit_code(["failed"]), exit_code(["not_measured"]), exit_code([])
    (6, 1, 5, 5)
    """
    seen = {Outcome(outcome) for outcome in outcomes}
    if seen == {Outcome.MEASURED}:
        return OK
    if Outcome.MEASURED in seen:
        return SOME_FAILED
    return FAILED if Outcome.FAILED in seen else NOTHING_MEASURED
