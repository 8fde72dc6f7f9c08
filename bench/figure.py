"""Figures and the table they make: every number with its spread, its goal and the command that made it."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from math import ceil
from statistics import median

OURS = "nettrace"


@dataclass(frozen=True)
class Column:
    """One measured quantity.

    Attributes:
        goal: the bound to keep, None where there is none.
        at_least: the bound is a lower one.
    """

    name: str
    unit: str
    goal: float | None = None
    at_least: bool = False

    def met(self, value: float) -> bool:
        """True when there is no goal or the value keeps it."""
        if self.goal is None:
            return True
        return value >= self.goal if self.at_least else value <= self.goal

    def goal_text(self) -> str:
        """The goal as `<= 2`, or nothing."""
        return "" if self.goal is None else f"{'>=' if self.at_least else '<='} {self.goal:g}"


@dataclass
class Table:
    """One scenario: what was measured (columns), by whom (rows), several times (values).

    Attributes:
        note: what a reader must know to judge the figures.
    """

    title: str
    columns: list[Column]
    note: str = ""
    rows: dict[str, dict[str, list[float]]] = field(default_factory=dict)

    def add(self, tool: str, values: dict[str, float | None]) -> None:
        """Add one run's values by column name; None is "did not measure it"."""
        row = self.rows.setdefault(tool, {})
        for name, value in values.items():
            if value is not None:
                row.setdefault(name, []).append(value)

    def median(self, tool: str, column: str) -> float | None:
        """The median over the runs, or None."""
        values = self.rows.get(tool, {}).get(column)
        return median(values) if values else None

    def broken(self) -> list[str]:
        """Goals that ours misses, in words; a goal that was not measured is missed."""
        found: list[str] = []
        for column in self.columns:
            value = self.median(OURS, column.name)
            if column.goal is not None and (value is None or not column.met(value)):
                found.append(
                    f"{self.title}: {column.name} {_short(value)} {column.unit}, goal {column.goal_text()}"
                )
        return found

    def text(self) -> str:
        """The table as plain text: median (min-max), and for rivals how many times ours."""
        heads = ["", *(f"{column.name}, {column.unit}" for column in self.columns)]
        goals = ["goal", *(column.goal_text() for column in self.columns)]
        lines = [heads, goals] if any(goals[1:]) else [heads]
        lines += [[tool, *(self._cell(tool, column) for column in self.columns)] for tool in self.rows]
        widths = [max(len(line[number]) for line in lines) for number in range(len(heads))]
        body = [
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
            for line in lines
        ]
        return "\n".join(
            [self.title, *([f"({self.note})"] if self.note else []), *(f"  {line}" for line in body)]
        )

    def _cell(self, tool: str, column: Column) -> str:
        values = self.rows[tool].get(column.name)
        if not values:
            return "-"
        middle = median(values)
        text = _short(middle)
        if len(values) > 1:
            text += f" ({_short(min(values))}-{_short(max(values))})"
        if tool.split(maxsplit=1)[0] == OURS:
            verdict = "" if column.goal is None else " ok" if column.met(middle) else " MISSED"
            return text + verdict
        ours = self.median(OURS, column.name)
        return f"{text} x{_short(middle / ours)}" if ours and middle > 0 else text

    def document(self) -> dict[str, object]:
        """As JSON."""
        return asdict(self) | {"broken": self.broken()}


def write_json(path: str, tables: Iterable[Table], host: dict[str, object]) -> None:
    """Write all tables and what they were made on to a file."""
    with open(path, "w") as file:  # noqa: PTH123 - "-" and /dev/stdout are welcome
        json.dump({"host": host, "tables": [table.document() for table in tables]}, file, indent=1)


def nearest_rank(values: list[float], fraction: float) -> float | None:
    """The smallest value that at least `fraction` of the values do not exceed, or None without values."""
    if not values:
        return None
    return sorted(values)[max(0, ceil(fraction * len(values)) - 1)]


def _short(value: float | None) -> str:
    """Three significant digits, thousands in full.

    >>> _short(12345.6), _short(0.6543), _short(2.0), _short(None)
    ('12346', '0.654', '2', '-')
    """
    if value is None:
        return "-"
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"
