"""Text made safe for SVG and XML, whatever somebody named a target."""

from html import escape


def text(words: str) -> str:
    """The words with everything escaped that XML reads, and without the characters XML 1.0 (2.2) forbids.

    >>> text('S&P "Global" <1>' + chr(0))
    'S&amp;P &quot;Global&quot; &lt;1&gt;'
    """
    return escape("".join(sign for sign in words if _allowed(ord(sign))), quote=True)


def _allowed(code: int) -> bool:
    if code < 0x20:
        return code in {0x9, 0xA, 0xD}
    return not (0x7F <= code <= 0x9F or 0xD800 <= code <= 0xDFFF or code in {0xFFFE, 0xFFFF})
