"""What `--help` says of every command: whole sentences, whatever the width."""

import click
import pytest
from click.testing import CliRunner

from nettrace.cli.root import COMMANDS, group

RUNNER = CliRunner()
ROOT = click.Context(group)
GROUPS = [name for name in COMMANDS if isinstance(group.get_command(ROOT, name), click.Group)]


@pytest.mark.parametrize("name", GROUPS)
def test_a_groups_list_of_commands_cuts_no_sentence_off(name: str) -> None:
    said = RUNNER.invoke(group, [name, "--help"], terminal_width=80, catch_exceptions=False).output
    listed = said.partition("Commands:\n")[2]
    assert listed
    assert "..." not in listed
    assert all(len(line) <= 80 for line in listed.splitlines())
