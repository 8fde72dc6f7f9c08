"""Previews of status pages: a PNG that others can read, of any name, that does not take an old number for a new one."""

import struct
import zlib

from hypothesis import given
from hypothesis import strategies as st

from nettrace.model.instant import NS_PER_MS, NS_PER_S
from nettrace.model.target import Endpoint, Role, RoundMethod, Target
from nettrace.web.preview import HEIGHT, WIDTH, _said, preview
from nettrace.web.raster import Canvas, width_of
from nettrace.web.targets import Row

NOW = 1_790_000_000 * NS_PER_S


def target(name: str) -> Target:
    way = Endpoint(name="rest", host="a.example", role=Role.API, methods=(RoundMethod.TCP,))
    return Target(host="a.example", name=name, category="x", endpoints=(way,))


def row(state: str, rtt_ns: int | None, age_s: int) -> Row:
    return Row(
        vantage="nyc", endpoint="rest", method="tcp", state=state, words=state, rtt_ns=rtt_ns, age_ns=age_s * NS_PER_S,
        sent=5, received=5, round_id="ms_1", address=None, error_ns=None, grade=None, stages_ns={},
    )  # fmt: skip


def chunks(picture: bytes) -> dict[bytes, bytes]:
    """The parts of a PNG, each with its checksum proven."""
    assert picture.startswith(b"\x89PNG\r\n\x1a\n")
    found, at = {}, 8
    while at < len(picture):
        length, name = struct.unpack(">I4s", picture[at : at + 8])
        data, crc = picture[at + 8 : at + 8 + length], picture[at + 8 + length : at + 12 + length]
        assert struct.unpack(">I", crc)[0] == zlib.crc32(name + data)
        found[name] = data
        at += 12 + length
    return found


@given(st.text(max_size=60))
def test_every_name_makes_a_picture_of_the_size_networks_ask_for(name: str) -> None:
    parts = chunks(
        preview(target(name), row("measured", 12 * NS_PER_MS, 5), ["ok", "none", "down"] * 30, NOW)
    )
    assert struct.unpack(">II", parts[b"IHDR"][:8]) == (WIDTH, HEIGHT)
    assert len(zlib.decompress(parts[b"IDAT"])) == HEIGHT * (WIDTH + 1)


def test_letters_are_where_they_were_put_and_nowhere_else() -> None:
    canvas = Canvas(40, 20, [(0, 0, 0), (255, 255, 255)])
    canvas.words("T", (2, 3), 2, 1)
    lit = {(x, y) for x in range(40) for y in range(20) if canvas.pixel(x, y) == (255, 255, 255)}
    assert min(x for x, _ in lit) == 2 and max(x for x, _ in lit) == 2 + width_of("T", 2) - 1
    assert {x for x, y in lit if y == 16} == {6, 7}, "the foot of a T is its middle column"


def test_an_old_number_and_an_absent_one_say_so() -> None:
    assert _said(row("measured", 12_340_000, 5))[:3] == ("answers", "12.3 ms", "from nyc by tcp, 5 s old")
    assert _said(row("stale", 12_340_000, 7200))[1:3] == ("last 12.3 ms", "from nyc by tcp, 2 h old")
    assert _said(row("failed", None, 5))[1] == "none known"
    assert _said(None)[:2] == ("no data yet", "unknown")
