"""Whoever reads a line and interrupts at once gets every line once."""

from collections.abc import Iterator

import pytest

from nettrace.measure.sweeping import sweep
from nettrace.measure.sweeping.request import SweepRequest, unmeasured
from nettrace.measure.sweeping.targets import Pinned
from nettrace.model.measurement import Method, Outcome, Reason
from nettrace.model.path import Trace

REQUEST = SweepRequest(Method.UDP)


def ended(name: str) -> Trace:
    return unmeasured(Pinned(name, None), REQUEST, 0, Outcome.FAILED, Reason.DNS, "no such name")


class Run:
    """A sweep of two targets: one has ended, one is under way."""

    resting = True

    def steps(self) -> Iterator[list[Trace]]:
        yield [ended("one")]

    def aborted(self) -> list[Trace]:
        return [ended("two")]

    def close(self) -> None:
        """It holds nothing."""


def test_an_interrupt_while_lines_are_written_writes_none_of_them_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sweep, "_run", lambda *_: Run())
    written: list[bytes] = []

    def write(lines: bytes) -> None:
        written.append(lines)
        if len(written) == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sweep.sweep_ndjson(["one", "two"], REQUEST, write)
    lines = b"".join(written).splitlines()
    assert [b'"target":"one"' in line for line in lines] == [True, False]
    assert [b'"target":"two"' in line for line in lines] == [False, True]
