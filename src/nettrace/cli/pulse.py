"""What a hub has taken in lately, in one line: for the demo's screen."""

from collections import Counter
from collections.abc import Collection

from nettrace.hub.open import open_reader
from nettrace.hub.place import Data
from nettrace.model.vantage import third_party
from nettrace.store.rows import LiveKind


class Pulse:
    """Follows a hub's live log."""

    def __init__(self, data: Data) -> None:
        self._reader = open_reader(data)
        self._seq = 0
        self._counts: Counter[LiveKind] = Counter()

    def take(self, regions: Collection[str]) -> tuple[int, str]:
        """How many of the regions report, and a line about all of it."""
        while True:
            page = self._reader.live(self._seq)
            self._seq = max(self._seq, page.oldest - 1)
            self._counts.update(event.kind for event in page.events)
            if not page.events:
                break
            self._seq = page.events[-1].seq
        latest = [entry for entry in self._reader.latest() if not third_party(entry.round.series.vantage)]
        seen = {entry.round.series.vantage for entry in latest if entry.round.outcome != "not_measured"}
        good = sum(entry.round.outcome == "measured" for entry in latest)
        words = [
            f"{len(seen & set(regions))} of {len(regions)} vantages report",
            f"{good} of {len(latest)} series answer",
            f"{self._counts[LiveKind.ROUND]} rounds, {self._counts[LiveKind.TRACE]} traces",
        ]
        if changes := self._counts[LiveKind.ROUTE_CHANGE]:
            words.append(f"{changes} route changes")
        if signals := self._counts[LiveKind.SIGNAL]:
            words.append(f"{signals} signals")
        return len(seen & set(regions)), ", ".join(words)

    def close(self) -> None:
        """Let go of the store."""
        self._reader.close()
