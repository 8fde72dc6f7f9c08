"""Imported market data in a data folder: one Parquet file a market, read and written whole, never half."""

from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import numpy as np

from nettrace.analysis.market.bars import COLUMNS, Bars, joined
from nettrace.errors import Invalid, MissingExtra, NotFound, SourceError

_STEP = b"nettrace.step_ns"
_LONGEST_NAME = 200


class MarketStore:
    """The markets of a data folder.

    Args:
        folder: the hub's data folder; made when something is kept.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "market"

    def names(self) -> list[str]:
        """What was imported, by name."""
        return sorted(unquote(path.stem) for path in self._folder.glob("*.parquet"))

    def read(self, name: str) -> Bars:
        """All bars of a market.

        Raises:
            NotFound: nothing was imported under that name.
            SourceError: its file is damaged.
        """
        path = self._path(name)
        if not path.is_file():
            known = self.names()
            raise NotFound(
                f"no market '{name}'",
                f"There are {', '.join(known[:10])}" if known else "nettrace market import",
            )
        _, parquet, errors = _arrow()
        try:
            table = parquet.read_table(path)
            step_ns = int(table.schema.metadata[_STEP])
            columns = {each: np.asarray(table[each].to_numpy(), dtype=np.float64) for each in COLUMNS}
            return Bars(np.asarray(table["at_ns"].to_numpy(), dtype=np.int64), step_ns, columns)
        except (OSError, KeyError, TypeError, ValueError, errors) as problem:
            raise SourceError(f"{path} is damaged ({problem})", "Delete it and import again") from None

    def add(self, name: str, bars: Bars) -> Bars:
        """Keep these bars beside the earlier ones; the whole as it is then."""
        path = self._path(name)
        if path.is_file():
            bars = joined(self.read(name), bars)
        arrow, parquet, _ = _arrow()
        self._folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._folder.mkdir(exist_ok=True, mode=0o700)
        table = arrow.table(
            {"at_ns": bars.at_ns, **bars.columns}, metadata={_STEP: str(bars.step_ns).encode()}
        )
        part = path.with_suffix(".part")
        parquet.write_table(table, part, compression="zstd")
        part.rename(path)
        return bars

    def _path(self, name: str) -> Path:
        file = quote(name, safe="")
        if not name.strip() or len(file) > _LONGEST_NAME or name.startswith("."):
            raise Invalid(f"'{name}' is no name for a market", "Write EXCHANGE:SYMBOL, as binance:BTC/USDT")
        return self._folder / f"{file}.parquet"


def _arrow() -> tuple[Any, Any, Any]:
    try:
        arrow = import_module("pyarrow")
        return arrow, import_module("pyarrow.parquet"), arrow.ArrowException
    except ImportError:
        raise MissingExtra("hub", "keeping market data") from None
