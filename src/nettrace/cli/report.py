"""The loop every measuring command shares: emit each result, test the condition, end with the right code."""

from collections.abc import Iterable
from types import TracebackType
from typing import Self

import click

from nettrace.cli.condition import Condition, parse_condition
from nettrace.cli.exits import CONDITION_BROKEN, INTERRUPTED, exit_code
from nettrace.cli.output import Document, Emitter, View, note
from nettrace.model.measurement import Measurement
from nettrace.wire.documents import document


class Report:
    """Collects outcomes while results stream out. Use as a context; leaving it ends the program with its code."""

    def __init__(self, form: str | None, view: View, fail_if: str | None) -> None:
        self._emitter = Emitter(form, view)
        self._condition: Condition | None = parse_condition(fail_if) if fail_if else None
        self._outcomes: list[str] = []
        self._broken = 0

    @property
    def form(self) -> str:
        """The format being written."""
        return self._emitter.form

    def add(self, result: Measurement | Document) -> None:
        """Write one result and remember its outcome."""
        made = document(result) if isinstance(result, Measurement) else result
        self._emitter.emit(made)
        self._outcomes.append(made["outcome"])
        if self._condition and self._condition.broken_by(made):
            self._broken += 1

    def add_all(self, results: Iterable[Measurement]) -> None:
        """Write results as they come."""
        for result in results:
            self.add(result)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None and kind is not KeyboardInterrupt:
            return
        self._emitter.close()
        if kind is KeyboardInterrupt:
            raise click.exceptions.Exit(INTERRUPTED)
        if self._condition and self._broken:
            note(
                f"nettrace: --fail-if '{self._condition.text}' holds for {self._broken} of {len(self._outcomes)}"
            )
            raise click.exceptions.Exit(CONDITION_BROKEN)
        raise click.exceptions.Exit(exit_code(self._outcomes))
