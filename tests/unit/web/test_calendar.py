"""The calendar of what happened: folded and escaped, whatever somebody named a target."""

from hypothesis import given
from hypothesis import strategies as st

from nettrace.model.instant import NS_PER_S
from nettrace.web.calendar import Entry, calendar

AT = 1_790_000_000 * NS_PER_S


@given(st.text(max_size=200))
def test_no_name_begins_a_property_or_makes_a_line_too_long(name: str) -> None:
    made = calendar(name, [Entry("sig_1", AT, AT, name)], "https://hub.example/status/a")
    lines = made.split("\r\n")
    assert all(len(line.encode()) <= 75 for line in lines)
    unfolded = made.replace("\r\n ", "").split("\r\n")
    assert [line.partition(":")[0] for line in unfolded if line] == [
        "BEGIN", "VERSION", "PRODID", "X-WR-CALNAME", "BEGIN", "UID", "DTSTAMP", "DTSTART", "DTEND", "SUMMARY", "URL",
        "TRANSP", "END", "END",
    ]  # fmt: skip


def test_an_event_lasts_from_when_it_happened_until_it_was_proven() -> None:
    made = calendar("x", [Entry("sig_1", AT, AT + 120 * NS_PER_S, "shift")], "u")
    assert "DTSTART:20260921T141320Z\r\nDTEND:20260921T141520Z" in made
