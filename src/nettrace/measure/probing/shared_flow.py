"""Machines that would meet each other's half-open connections go one after another."""

from collections import deque

from nettrace.measure.probing.run import Run
from nettrace.model.measurement import Method
from nettrace.model.path import Flow


class SharedFlows:
    """Who may send now of those whose TCP probes share address and flow: whoever came first.

    Two at once would be one connection to the target's host, which answers only the first of two requests that are
    under way together (`tracing.half_open`). A machine knows of its own, not of another one's.
    """

    def __init__(self) -> None:
        self._waiting: dict[tuple[str, Flow], deque[Run]] = {}

    def enter(self, run: Run) -> bool:
        """Take a place; True when it is the first."""
        if run.machine.flow.method is not Method.TCP:
            return True
        runs = self._waiting.setdefault((run.machine.address, run.machine.flow), deque())
        runs.append(run)
        return len(runs) == 1

    def leave(self, run: Run) -> Run | None:
        """Give the place up, first or not; whose turn it is now because of that."""
        key = run.machine.address, run.machine.flow
        runs = self._waiting.get(key)
        if runs is None:
            return None
        first = runs[0] is run
        runs.remove(run)
        if not runs:
            del self._waiting[key]
            return None
        return runs[0] if first else None
