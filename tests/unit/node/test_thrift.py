"""What a spent budget held back reaches the operator: the sentence, the node's problems, the list of the fleet."""

from pathlib import Path

from click.testing import CliRunner

from nettrace.cli.commands.fleet import command
from nettrace.hub.open import folder_of, writer
from nettrace.measure.tracing.politeness import Limits
from nettrace.node.thrift import Held, in_words
from nettrace.testing.conformance.made import VANTAGES
from nettrace.testing.conformance.store import enrol_all
from nettrace.wire.frames import Report


def test_the_fleet_is_listed_with_what_budgets_held_back_and_what_to_do(tmp_path: Path) -> None:
    held = Held({"network": 1200, "node": 3}, {"network": 40}).since(Held({"node": 3}, {}))
    [words] = in_words(held, Limits(), "the last minute")
    assert words.startswith("in the last minute 1200 packets waited for the budget of their network")
    assert (
        "60/s, 40 rounds were not made or not finished: give targets that share a network a longer cadence"
        in words
    )
    with writer(folder_of(tmp_path)) as store:
        enrol_all(store)
        node = next(iter(VANTAGES))
        report = Report(node=node, epoch="e", first_seq=1, entries=(), sent_at=1, problems=(words,))
        store.heard(node, 120, report, None)
    listed = CliRunner().invoke(command, ["list", "--data", str(tmp_path)])
    assert listed.exit_code == 0
    assert words in listed.output
