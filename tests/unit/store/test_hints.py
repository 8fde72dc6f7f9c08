"""What an answer tells of who served it is kept with the round and shown wherever the round is."""

from pathlib import Path

import msgspec
from tests.unit.store.filled import DAY, START, fill, keep_up, report, seen

from nettrace.api.shapes import round_row
from nettrace.hub.export import raw_page
from nettrace.model.measurement import HttpExchange, Outcome, Stages
from nettrace.model.target import RoundMethod
from nettrace.store.documents import round_document
from nettrace.store.embedded.reader import EmbeddedReader
from nettrace.store.port import Choice
from nettrace.store.rows import Window
from nettrace.wire.frames import Record

HINTS = {"server": "edge", "cf-ray": "8-NRT"}


def test_hints_are_in_the_hot_rows_the_sealed_day_the_stream_the_api_and_the_files(tmp_path: Path) -> None:
    answered = HttpExchange(
        target="a.example", address=None, at=START, outcome=Outcome.MEASURED, url="https://a.example/", status=200, stages=Stages(),
        server_hints=HINTS,
    )  # fmt: skip
    told = Record(
        seq=1, target="a.example", endpoint="rest", method=RoundMethod.HTTP, due=START, measurement=answered
    )
    writer = fill(tmp_path, days=1)
    writer.accept(report([told], "web"), START + 1)
    web = Choice(methods=("http",))
    (hot,) = seen(tmp_path, web)
    with EmbeddedReader(tmp_path) as reader:
        (newest,) = [each.round for each in reader.latest() if each.round.series.method is RoundMethod.HTTP]
        body = next(each.body for each in reader.live(0).events if b"cf-ray" in each.body)
        assert msgspec.json.decode(body)["server_hints"] == HINTS
        page = raw_page(reader.raw(web, Window(START, START + DAY), limit=9))
    assert [msgspec.json.decode(each) for each in page["server_hints"]] == [HINTS]
    keep_up(writer, START + 9 * DAY)
    writer.close()
    (sealed,) = seen(tmp_path, web)
    assert hot == newest == sealed
    assert sealed.server_hints == HINTS
    assert round_document(sealed)["server_hints"] == round_row(sealed).server_hints == HINTS
    assert round_row(seen(tmp_path, Choice(methods=("tcp",)))[0]).server_hints is None
