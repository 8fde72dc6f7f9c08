"""`nettrace alerts`: rules are tried against what is stored before anybody is woken by them."""

import json
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from nettrace.analysis.alerts.rule import RuleBook
from nettrace.cli.root import group
from nettrace.errors import ConfigError, NotFound
from nettrace.hub.alerting import Alerting, BookFile, fact_of, load
from nettrace.hub.open import open_reader, open_writer
from nettrace.hub.place import Data
from nettrace.model.alert import NoticeKind
from nettrace.model.instant import NS_PER_S
from nettrace.model.measurement import Grade, Method, Outcome, Ping, Reason, Sample, SampleState
from nettrace.model.target import Endpoint, Role, RoundMethod, Target
from nettrace.model.vantage import Vantage
from nettrace.store.port import EnrolToken, StoreWriter
from nettrace.store.rows import LiveKind
from nettrace.wire.frames import Record, Report

RULES = """
[[rule]]
name = "down"
preset = "down"
"""
HOST = "api.example"


def minute(seq: int, at: int, *, down: bool) -> Record:
    state = SampleState.LOST if down else SampleState.ANSWERED
    sample = Sample(state=state, sent_at=at) if down else Sample(
        state=state, sent_at=at, rtt_ns=10**7, error_ns=1000, grade=Grade.KERNEL)  # fmt: skip
    ping = Ping(
        target=HOST, address="198.18.0.1", at=at, method=Method.TCP, port=443, samples=(sample,),
        outcome=Outcome.FAILED if down else Outcome.MEASURED, reason=Reason.TIMEOUT if down else None,
    )  # fmt: skip
    return Record(seq=seq, target=HOST, endpoint="site", method=RoundMethod.TCP, due=at, measurement=ping)


@pytest.fixture
def store(tmp_path: Path) -> Any:
    now = time.time_ns()
    made = open_writer(Data(tmp_path))
    site = Endpoint(name="site", host=HOST, role=Role.WEB)
    made.put_targets([Target(host=HOST, name="A", category="Test", endpoints=(site,))], now)
    made.put_token(EnrolToken(id="t", hash=b"h", region="nyc", created_at=now, expires_at=now + 10**12))
    made.enrol(b"h", Vantage(code="nyc", node="nd_1"), b"k" * 32, now)
    (tmp_path / "alerts.toml").write_text(RULES)
    yield made
    made.close()


def history(store: StoreWriter, minutes: int, down: range) -> None:
    now = time.time_ns()
    entries = tuple(
        minute(n, now - (minutes + 1 - n) * 60 * NS_PER_S, down=n in down) for n in range(1, minutes + 1)
    )
    store.accept(Report(node="nd_1", epoch="e", first_seq=1, entries=entries, sent_at=now, version="1"), now)


def run(folder: Path, *words: str) -> tuple[int, str, str]:
    done = CliRunner().invoke(group, ["alerts", *words, "--data", str(folder)])
    if isinstance(done.exception, Exception) and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.stdout, done.stderr


def test_preview_counts_what_would_have_fired(store: StoreWriter, tmp_path: Path) -> None:
    history(store, 120, range(30, 50))
    code, out, err = run(tmp_path, "preview", "--days", "1")
    (found,) = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    assert "would have fired once in the last 1 days" in err
    assert (found["cause"], found["state"], found["closed_by"]) == (
        "target:api.example",
        "closed",
        "recovered",
    )
    quiet = tmp_path / "others.toml"
    quiet.write_text(RULES + 'for = "1h"\n')
    assert "would have fired 0 times" in run(tmp_path, "preview", "--rules", str(quiet))[2]


def test_rules_are_linted_with_the_file_and_the_word(store: StoreWriter, tmp_path: Path) -> None:
    assert json.loads(run(tmp_path, "rules")[1])["metric"] == "failed"
    (tmp_path / "alerts.toml").write_text(RULES + "thresold = 1\n")
    with pytest.raises(ConfigError, match=r"alerts.toml: rule 'down' has no field 'thresold'"):
        run(tmp_path, "rules")


def test_rules_that_are_wrong_or_half_written_leave_the_old_ones_in_force(tmp_path: Path) -> None:
    path = tmp_path / "alerts.toml"
    path.write_text(RULES)
    file = BookFile(path)
    assert file.refresh()
    path.write_text("")  # a moment of an editor's writing
    assert not file.refresh()
    path.write_text("rule = 1 # wrong")
    assert not file.refresh()
    with pytest.raises(ConfigError):
        file.refresh()
    assert file.book == load_text(tmp_path, RULES)
    assert not file.refresh()
    path.unlink()
    assert [file.refresh(), file.refresh(), file.refresh()] == [False, True, False]
    assert file.book == RuleBook()


def test_rules_that_are_wrong_from_the_start_take_nothing_away(tmp_path: Path) -> None:
    (tmp_path / "alerts.toml").write_text("rule = 1")
    file = BookFile(tmp_path / "alerts.toml")
    with pytest.raises(ConfigError):
        file.refresh()
    assert file.book is None


def load_text(folder: Path, text: str) -> Any:
    (folder / "good.toml").write_text(text)
    return load(folder / "good.toml")


def test_an_order_from_the_command_line_reaches_the_incident(store: StoreWriter, tmp_path: Path) -> None:
    reader = open_reader(Data(tmp_path))
    alerting = Alerting(reader, load(tmp_path / "alerts.toml"))
    history(store, 4, range(2, 5))
    first = alerting.step(time.time_ns())
    second = alerting.step(time.time_ns() + 70 * NS_PER_S)
    opened = [step for step in (first.step, second.step) if step is not None and step.incidents]
    for step in opened:
        store.put_alerts(step)
    (incident,) = reader.incidents()
    assert [request.method for request in second.requests] == [RoundMethod.TRACE]
    assert incident.traces == (second.requests[0].id,)

    store.close()
    with pytest.raises(NotFound):
        run(tmp_path, "ack", "inc_nothing")
    run(tmp_path, "ack", incident.id)
    woken = Alerting(reader, load(tmp_path / "alerts.toml"))
    third = woken.step(time.time_ns() + 71 * NS_PER_S)
    assert third.step is not None
    (acknowledged,) = third.step.incidents
    assert acknowledged.state == "acknowledged"
    assert acknowledged.traces == incident.traces
    assert not any(each.kind is NoticeKind.OPENED for each in third.step.deliveries)
    reader.close()


def test_a_step_that_was_not_stored_is_made_again_with_the_same_ids(
    store: StoreWriter, tmp_path: Path
) -> None:
    text = (
        RULES.replace('preset = "down"', 'preset = "down"\nfor = "0s"')
        + '[channel.c]\nkind = "slack"\nurl = "https://x/"\n'
    )
    (tmp_path / "alerts.toml").write_text(text)
    book, reader = load(tmp_path / "alerts.toml"), open_reader(Data(tmp_path))
    begun = Alerting(reader, book).step(time.time_ns())
    assert begun.step is not None
    store.put_alerts(begun.step)
    history(store, 3, range(2, 4))
    now = time.time_ns()
    lost, again = (Alerting(reader, book).step(now).step for _ in range(2))
    reader.close()
    assert lost is not None
    assert again is not None
    assert len(lost.deliveries) == 1
    assert [each.id for each in lost.deliveries] == [each.id for each in again.deliveries]
    assert lost.incidents == again.incidents


def test_what_happened_while_nobody_carried_is_told_afterwards(store: StoreWriter, tmp_path: Path) -> None:
    text = RULES + '[channel.c]\nkind = "slack"\nurl = "https://x/"\n'
    book, reader = (
        load_text(tmp_path, text.replace('preset = "down"', 'preset = "down"\nfor = "0s"')),
        open_reader(Data(tmp_path)),
    )
    now = time.time_ns()
    begun = Alerting(reader, book).step(now - 240 * NS_PER_S)
    assert begun.step is not None
    store.put_alerts(begun.step)
    for seq, down in enumerate([False, True, True, False], start=1):
        at = now - (5 - seq) * 30 * NS_PER_S
        sent = minute(seq, at, down=down)
        store.accept(
            Report(node="nd_1", epoch="e", first_seq=seq, entries=(sent,), sent_at=at, version="1"), at + seq
        )
    woken = Alerting(reader, book).step(now).step
    reader.close()
    assert woken is not None
    assert [each.kind for each in woken.deliveries] == [NoticeKind.OPENED, NoticeKind.CLOSED]
    assert woken.incidents[0].opened_at == now - 60 * NS_PER_S + 3


def test_live_lines_become_facts_and_on_demand_rounds_do_not(store: StoreWriter, tmp_path: Path) -> None:
    history(store, 2, range(0))
    reader = open_reader(Data(tmp_path))
    lines = [line for line in reader.live(0).events if line.kind is LiveKind.ROUND]
    facts = [fact_of(line, {}) for line in lines]
    (first, _) = reader.latest()[0].round, facts
    reader.close()
    assert [fact.rtt_ns for fact in facts if fact is not None] == [10**7, 10**7]  # type: ignore[union-attr]
    assert facts[-1].due == first.due // 1000 * 1000  # type: ignore[union-attr]
