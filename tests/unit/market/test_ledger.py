"""The ledger forgets nothing, and shows when somebody made it."""

from pathlib import Path

import pytest

from nettrace.errors import SourceError
from nettrace.outside.market_ledger import Ledger


def test_nulls_are_kept_and_the_same_test_is_one_trial(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    assert ledger.rows() == []
    ledger.add([{"test": "a", "p": 0.9}, {"test": "b", "p": 0.01}])
    Ledger(tmp_path).add([{"test": "a", "p": 0.8}])
    assert [row["test"] for row in ledger.rows()] == ["a", "b", "a"]
    assert {name: row["p"] for name, row in ledger.tests().items()} == {"a": 0.8, "b": 0.01}


@pytest.mark.parametrize("change", [lambda lines: lines[1:], lambda lines: [lines[0], lines[2]], lambda lines: [lines[0].replace("0.9", "0.1"), *lines[1:]], lambda lines: ["{}", *lines]])  # fmt: skip
def test_a_line_changed_or_taken_out_is_found(tmp_path: Path, change) -> None:
    ledger = Ledger(tmp_path)
    ledger.add([{"test": str(place), "p": 0.9} for place in range(3)])
    path = tmp_path / "market" / "ledger.ndjson"
    path.write_text("\n".join(change(path.read_text().splitlines())) + "\n")
    with pytest.raises(SourceError, match="was changed"):
        ledger.rows()
