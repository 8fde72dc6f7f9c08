"""What forecasts are made from, out of the store: a series as medians of quarters of an hour."""

from nettrace.analysis.forecast.quarter import QUARTER_NS, Quarters, of_medians
from nettrace.model.instant import NS_PER_MS
from nettrace.store.port import Choice, StoreReader
from nettrace.store.rows import Resolution, Window


def quarters_of(reader: StoreReader, choice: Choice, window: Window) -> Quarters:
    """Medians of one series' closed quarters, as the store holds them."""
    found = reader.history(choice, window, Resolution.QUARTER, (0.5,))
    return of_medians(
        {
            start // QUARTER_NS: level / NS_PER_MS
            for columns in found
            for start, level in zip(columns.start, columns.quantiles_ns["p50"], strict=True)
            if level is not None
        }
    )
