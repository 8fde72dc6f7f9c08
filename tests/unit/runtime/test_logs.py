"""Every program's lines have one shape, stand on one line, and hold no secret."""

import json
import logging

import pytest

from nettrace.runtime.logs import Log, LogHandler


def test_a_line_of_json_is_when_who_what_and_the_rest(capsys: pytest.CaptureFixture[str]) -> None:
    Log("node", "json").say("node.says", region="nyc", words="with nt_live_abcdefgh12345678\nand a line")
    (line,) = capsys.readouterr().err.splitlines()
    said = json.loads(line)
    assert list(said) == ["at", "program", "event", "region", "words"]
    assert (said["program"], said["event"]) == ("node", "node.says")
    assert said["at"].endswith("Z")
    assert said["words"] == "with nt_live_...\nand a line"


@pytest.mark.parametrize("form", ["json", "text"])
def test_what_others_wrote_forges_no_line_and_moves_no_cursor(
    form: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Log("api", form).say("x", words="a\r\n12:00:00 hub forged\x1b[2J\u2028b")
    lines = capsys.readouterr().err.split("\n")
    assert len(lines) == 2
    assert lines[1] == ""
    assert lines[0].isprintable()


def test_what_libraries_log_has_the_same_shape_with_its_trace(capsys: pytest.CaptureFixture[str]) -> None:
    logger = logging.getLogger("test.library")
    handler = LogHandler(Log("api", "json"))
    logger.addHandler(handler)
    try:
        raise ValueError("broken")
    except ValueError:
        logger.exception("it %s", "broke")
    finally:
        logger.removeHandler(handler)
    said = json.loads(capsys.readouterr().err)
    assert (said["program"], said["event"], said["level"], said["logger"], said["words"]) == (
        "api", "log", "error", "test.library", "it broke",
    )  # fmt: skip
    assert "ValueError: broken" in said["trace"]
