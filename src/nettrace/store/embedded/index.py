"""The series there are, by number and by name, read once and then only what was added."""

from nettrace.errors import StoreCorrupt
from nettrace.model.target import RoundMethod, Series
from nettrace.model.vantage import third_party
from nettrace.store.embedded.database import RESTORE, Connection, value
from nettrace.store.embedded.rounds import Names
from nettrace.store.port import Choice


class SeriesIndex:
    """All series of a store, kept up with it."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._by_number: dict[int, Series] = {}
        self._by_target: dict[str, dict[str, dict[int, Series]]] = {}
        self._newest = 0

    @property
    def newest(self) -> int:
        """The highest number that was read."""
        return self._newest

    def _catch_up(self) -> None:
        rows = self._connection.execute(
            "SELECT id, vantage, target, endpoint, method FROM series WHERE id > ? ORDER BY id",
            (self._newest,),
        )
        for number, vantage, target, endpoint, method in rows:
            series = Series(vantage, target, endpoint, RoundMethod(method))
            self._by_number[number] = series
            self._by_target.setdefault(target, {}).setdefault(vantage, {})[number] = series
            self._newest = number

    def chosen(self, choice: Choice) -> dict[int, Series]:
        """Those that fit, by number."""
        self._catch_up()
        return self.known(choice)

    def known(self, choice: Choice) -> dict[int, Series]:
        """Those that fit of the series that were read, up to `newest`."""
        if choice.targets:
            found: dict[int, Series] = {}
            for target in choice.targets:
                there = self._by_target.get(target, {})
                for vantage in choice.vantages or there:
                    found |= there.get(vantage, {})
        else:
            found = self._by_number
        return {number: series for number, series in found.items() if fits(choice, series)}

    def series(self, number: int) -> Series:
        """The series of a number."""
        if number not in self._by_number:
            self._catch_up()
        found = self._by_number.get(number)
        if found is None:
            raise StoreCorrupt(f"series {number} has rounds and no name", RESTORE)
        return found


def fits(choice: Choice, series: Series) -> bool:
    """True for a series that is meant."""
    return (
        (not choice.targets or series.target in choice.targets)
        and (series.vantage in choice.vantages if choice.vantages else not third_party(series.vantage))
        and (not choice.endpoints or series.endpoint in choice.endpoints)
        and (not choice.methods or series.method in choice.methods)
    )


def names_of(connection: Connection, index: SeriesIndex | None = None) -> Names:
    """What numbers in rows stand for, looked up in this connection's database."""

    def text(table: str, column: str, number: int) -> str:
        found = value(connection, f"SELECT {column} FROM {table} WHERE id = ?", (number,))  # noqa: S608 - own words
        if found is None:
            raise StoreCorrupt(f"{table} {number} is used and not there", RESTORE)
        return str(found)

    known = index or SeriesIndex(connection)
    return Names(
        lambda number: text("address", "text", number),
        lambda number: text("route", "name", number),
        known.series,
    )
