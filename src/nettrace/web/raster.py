"""Pictures of few colours as PNG, from the standard library alone: boxes, and letters of five by seven dots.

Networks that show previews of links take PNG or JPEG and no SVG. The letters are those of character displays, as
Adafruit's GFX library has them (BSD licence, whole in raster.LICENSE.txt beside this); PNG is as in RFC 2083.
"""

import struct
import zlib
from collections.abc import Sequence

_FIRST = " "
_LETTERS = bytes.fromhex(
    "0000000000 00005f0000 0007000700 147f147f14 242a7f2a12 2313086462 3649562050 0008070300 001c224100 0041221c00"
    "2a1c7f1c2a 08083e0808 0080703000 0808080808 0000606000 2010080402 3e5149453e 00427f4000 7249494946 2141494d33"
    "1814127f10 2745454539 3c4a494931 4121110907 3649494936 464949291e 0000140000 0040340000 0008142241 1414141414"
    "0041221408 0201590906 3e415d594e 7c1211127c 7f49494936 3e41414122 7f4141413e 7f49494941 7f09090901 3e41415173"
    "7f0808087f 00417f4100 2040413f01 7f08142241 7f40404040 7f021c027f 7f0408107f 3e4141413e 7f09090906 3e4151215e"
    "7f09192946 2649494932 03017f0103 3f4040403f 1f2040201f 3f4038403f 6314081463 0304780403 6159494d43 007f414141"
    "0204081020 004141417f 0402010204 4040404040 0003070800 2054547840 7f28444438 3844444428 384444287f 3854545418"
    "00087e0902 18a4a49c78 7f08040478 00447d4000 2040403d00 7f10284400 00417f4000 7c04780478 7c08040478 3844444438"
    "fc18242418 18242418fc 7c08040408 4854545424 04043f4424 3c4040207c 1c2040201c 3c4030403c 4428102844 4c9090907c"
    "4464544c44 0008364100 0000770000 0041360800 0201020402"
)
"""Five columns of dots a letter, the lowest bit on top, from the space on."""

_WIDE, _STEP = 5, 6

Colour = tuple[int, int, int]


class Canvas:
    r"""A picture to draw on, of at most 256 colours that are named by their number.

    >>> canvas = Canvas(2, 1, [(0, 0, 0), (255, 0, 0)])
    >>> canvas.box(1, 0, 1, 1, 1)
    >>> canvas.png()[:8] == b"\x89PNG\r\n\x1a\n"
    True
    """

    def __init__(self, width: int, height: int, palette: Sequence[Colour]) -> None:
        self.width = width
        self.height = height
        self._palette = tuple(palette)
        self._rows = [bytearray(width) for _ in range(height)]

    def box(self, x: int, y: int, width: int, height: int, colour: int) -> None:
        """Fill a box; what lies outside of the picture is not drawn."""
        left, right = max(0, x), min(self.width, x + width)
        if left >= right:
            return
        line = bytes((colour,)) * (right - left)
        for row in self._rows[max(0, y) : max(0, min(self.height, y + height))]:
            row[left:right] = line

    def words(self, words: str, at: tuple[int, int], scale: int, colour: int) -> None:
        """Write from a left upper corner, each dot `scale` pixels wide; a sign there is no letter for is a question mark."""
        x, y = at
        for sign in words:
            self._letter(sign if plain(sign) else "?", x, y, scale, colour)
            x += _STEP * scale

    def _letter(self, sign: str, x: int, y: int, scale: int, colour: int) -> None:
        start = (ord(sign) - ord(_FIRST)) * _WIDE
        for column, dots in enumerate(_LETTERS[start : start + _WIDE]):
            for row in range(8):
                if dots >> row & 1:
                    self.box(x + column * scale, y + row * scale, scale, scale, colour)

    def pixel(self, x: int, y: int) -> Colour:
        """The colour of one."""
        return self._palette[self._rows[y][x]]

    def png(self) -> bytes:
        """The picture as PNG with a palette, 8 bits a pixel."""
        head = struct.pack(">IIBBBBB", self.width, self.height, 8, 3, 0, 0, 0)
        colours = b"".join(bytes(colour) for colour in self._palette)
        body = zlib.compress(b"".join(b"\0" + row for row in self._rows), 6)
        chunks = ((b"IHDR", head), (b"PLTE", colours), (b"IDAT", body), (b"IEND", b""))
        return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name, data) for name, data in chunks)


def plain(words: str) -> bool:
    """Whether there is a letter for every sign.

    >>> plain("api.example"), plain("börse")
    (True, False)
    """
    return all(" " <= sign <= "~" for sign in words)


def width_of(words: str, scale: int) -> int:
    """How wide words are, in pixels."""
    return max(0, len(words) * _STEP - 1) * scale


def fitted(words: str, width: int, scale: int) -> str:
    """The words, cut where they would be wider.

    >>> fitted("abcdefgh", 100, 4)
    'a...'
    """
    most = (width // scale + 1) // _STEP
    return words if len(words) <= most else words[: max(0, most - 3)] + "..."


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
