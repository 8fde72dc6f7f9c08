"""The public matrices that come with NetTrace; LICENCES.md beside this file says whose they are."""

from importlib.resources import files

from msgspec.structs import replace

from nettrace.placement.estimates.evidence import Evidence, FindPlace, Row, evidence_of, read_table

SHIPPED = (
    ("intercloud_2022.csv", "DoiT intercloud", "2022-02"),
    ("azure_2026.csv", "Azure statistics", "2026-05"),
)
"""File, source, when it was measured."""


def shipped_rows() -> list[Row]:
    """All rows that ship."""
    room = files("nettrace.placement.estimates")
    return [
        replace(row, source=source, at=at)
        for name, source, at in SHIPPED
        for row in read_table(room.joinpath(name).read_text(encoding="utf-8"), name)
    ]


def shipped(find: FindPlace) -> Evidence:
    """What ships, with its ends looked up in the gazetteer."""
    return evidence_of(shipped_rows(), find)
