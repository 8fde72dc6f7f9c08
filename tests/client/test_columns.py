"""Tables have the same columns and types whatever the rows hold; what was not measured is null, never 0 or NaN."""

import sys

import pandas as pd
import polars as pl
import pytest

from nettrace.client import AsyncClient
from nettrace.client.answers import Round, TargetRow
from nettrace.client.columns import MissingLibrary, to_pandas, to_polars


async def test_polars(client: AsyncClient) -> None:
    frame = await client.rounds(host="b.example.com", region="sin", method="tcp", limit=20).to_polars()
    assert frame.schema["rtt_ms"] == pl.Float64
    assert frame.schema["sent"] == pl.Int64
    assert frame.schema["at"] == pl.Datetime("us", "UTC")
    assert frame.schema["samples_ms"] == pl.List(pl.Float64)
    assert frame.schema["stages_dns_ms"] == pl.Float64
    assert frame.schema["host"] == pl.String
    down = frame.filter(pl.col("outcome") == "failed")
    assert (down.height, down["rtt_ms"].null_count(), down["rtt_ms"].is_nan().sum()) == (4, 4, 0)
    assert frame.filter(pl.col("outcome") == "measured")["rtt_ms"].min() > 30


async def test_pandas(client: AsyncClient) -> None:
    frame = await client.rounds(host="b.example.com", region="sin", method="tcp", limit=20).to_pandas()
    kinds = frame.dtypes.astype(str)
    assert {name: kinds[name] for name in ("rtt_ms", "sent", "at", "stages_dns_ms", "samples_ms")} == {
        "rtt_ms": "Float64", "sent": "Int64", "at": "datetime64[us, UTC]", "stages_dns_ms": "Float64", "samples_ms": "object",
    }  # fmt: skip
    down = frame[frame["outcome"] == "failed"]
    assert len(down) == 4
    assert all(value is pd.NA for value in down["rtt_ms"])
    assert frame["rtt_ms"].min() > 30


async def test_answers_with_rows_are_tables_too(client: AsyncClient) -> None:
    ranks = (await client.rankings(region="nyc")).to_polars()
    assert ranks.schema["p50_ms"] == pl.Float64
    assert ranks["tied"].dtype == pl.Boolean
    routes = (await client.routes("api.example.com")).to_pandas()
    assert routes["hops"].iloc[0].startswith('[{"ttl":1')
    changes = await client.route_changes("api.example.com").to_polars()
    assert changes["class"].to_list() == ["as_path"]


def test_no_rows_have_the_same_columns() -> None:
    for shape in (Round, TargetRow):
        assert list(to_pandas([], shape).columns) == to_polars([], shape).columns
        assert to_polars([], shape).schema["rtt_ms"] == pl.Float64
        assert str(to_pandas([], shape).dtypes["at"]) == "datetime64[us, UTC]"


@pytest.mark.parametrize(("name", "make"), [("pandas", to_pandas), ("polars", to_polars)])
def test_a_missing_library_is_named(name: str, make: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingLibrary, match=f"pip install {name}"):
        make([], Round)  # type: ignore[operator]
