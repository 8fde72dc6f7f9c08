"""The dated edition of the API: `/v1` is the major version, `NetTrace-Version` the day a client was written against.

Within `/v1` fields are only added. Should an answer ever have to change, the change gets a new edition, and who sends an older
one keeps the old answer. So far there is one.
"""

from collections.abc import Mapping
from datetime import date

from nettrace.api.problems import BadRequest, Fault

EDITION = "2026-11-21"
EDITIONS = (EDITION,)
HEADER = "NetTrace-Version"


def edition_of(headers: Mapping[str, str]) -> str:
    """The edition that a request is answered in: the newest that was there on the day it names, else the newest.

    >>> edition_of({}), edition_of({"nettrace-version": "2027-03-01"})
    ('2026-11-21', '2026-11-21')

    Raises:
        BadRequest: the header is no date, or one before the first edition.
    """
    asked = headers.get("nettrace-version")
    if asked is None:
        return EDITION
    known = [each for each in EDITIONS if each <= asked]
    if not _is_date(asked) or not known:
        detail = f"'{asked[:40]}' is no day of an edition; the first is {EDITIONS[0]}"
        raise BadRequest((Fault(pointer=f"#/header/{HEADER}", detail=detail),))
    return known[-1]


def _is_date(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False
