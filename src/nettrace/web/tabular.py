"""What a page shows as CSV, where no single call of the API has it."""

import csv
import io
from collections.abc import Iterable, Sequence

from litestar import Response

from nettrace.web.site import headers


def table(lines: Iterable[Sequence[str]]) -> Response[bytes]:
    """The lines as CSV (RFC 4180). Cells that a spreadsheet would take for a formula are quoted with an apostrophe."""
    sheet = io.StringIO()
    csv.writer(sheet).writerows([_harmless(cell) for cell in line] for line in lines)
    return Response(
        sheet.getvalue().encode(), media_type="text/csv; charset=utf-8", headers={**headers(), "Cache-Control": "no-cache"}
    )  # fmt: skip


def _harmless(cell: str) -> str:
    """The cell as text, whatever a target is called.

    >>> _harmless("=1+1"), _harmless("+5 %"), _harmless("-3 %"), _harmless("a")
    ("'=1+1", '+5 %', '-3 %', 'a')
    """
    number = cell.removesuffix("%").strip().lstrip("+-").replace(".", "", 1).isdigit()
    return f"'{cell}" if cell[:1] in {"=", "+", "-", "@", "\t", "\r"} and not number else cell
