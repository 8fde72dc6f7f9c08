"""What a long-running process says of itself: one line an event on stderr, text for people and JSON for programs."""

import json
import logging
import re
import sys
import traceback
from datetime import UTC, datetime

_SECRET = re.compile(r"\b(nt_(?:live|test|enr)_|whsec_|sk_)[0-9A-Za-z_]{4,}")


class Log:
    """The voice of one process.

    Args:
        program: who speaks: `hub`, `writer`, `api` ...
        form: `text`, `json`, or None: text on a terminal, JSON otherwise.
    """

    def __init__(self, program: str, form: str | None = None) -> None:
        self.program = program
        self.form = form or ("text" if sys.stderr.isatty() else "json")

    def say(self, event: str, **fields: object) -> None:
        """One event, named in words with dots between, with what belongs to it. Secrets are blackened."""
        try:
            sys.stderr.write(redacted(self.line(event, datetime.now(UTC), fields)) + "\n")
            sys.stderr.flush()
        except (OSError, ValueError):  # nobody listens any more: no reason to end
            return

    def line(self, event: str, at: datetime, fields: dict[str, object]) -> str:
        """The line as it is written.

        >>> from datetime import datetime
        >>> Log("hub", "text").line("child.ended", datetime(2026, 1, 2, 3, 4, 5), {"name": "writer", "code": -9})
        '03:04:05 hub child.ended name=writer code=-9'
        >>> Log("writer", "text").line("writer.ready", datetime(2026, 1, 2, 3, 4, 5), {})
        '03:04:05 writer.ready'
        """
        if self.form == "json":
            return json.dumps(
                {"at": f"{at:%Y-%m-%dT%H:%M:%S.%fZ}", "program": self.program, "event": event, **fields},
                default=str,
            )
        words = [
            f"{at:%H:%M:%S}",
            *([] if event.startswith(f"{self.program}.") else [self.program]),
            event,
            *(f"{name}={value}" for name, value in fields.items()),
        ]
        return on_one_line(" ".join(words))


class LogHandler(logging.Handler):
    """What libraries say through the standard library's logging, in the shape of everything else: event `log`."""

    def __init__(self, log: Log) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        """One line."""
        self._log.say("log", **fields_of(record))


def fields_of(record: logging.LogRecord) -> dict[str, object]:
    """What a library's record says: level, logger, words, and the trace where there is one."""
    fields: dict[str, object] = {"level": record.levelname.lower(), "logger": record.name}
    if record.exc_info is not None:
        fields["trace"] = "".join(traceback.format_exception(record.exc_info[1]))
    return {**fields, "words": record.getMessage()}


def on_one_line(text: str) -> str:
    r"""The text without what would begin another line or move a terminal's cursor.

    >>> on_one_line("a\nb\x1b[2J")
    'a | b\ufffd[2J'
    """
    return "".join(each if each.isprintable() else "\ufffd" for each in text.replace("\n", " | "))


def redacted(text: str) -> str:
    """The text without keys and tokens.

    >>> redacted("key nt_live_abcdefgh12345678 refused")
    'key nt_live_... refused'
    """
    return _SECRET.sub(r"\1...", text)
