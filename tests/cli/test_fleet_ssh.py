"""A fleet by SSH as its operator walks it: real hub, real nodes, a real sshd; connections drop in the middle, keys change."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from tests.cli.test_fleet_real import hub, release, until
from tests.unit.providers.sshd import Sshd, sshd
from tests.unit.providers.test_shell import processes

from nettrace.cli.root import group
from nettrace.errors import Unreachable
from nettrace.hub.open import open_reader
from nettrace.hub.place import Data

__all__ = ["hub"]
NODE = "nettrace-fleet/nettrace-far/node"
pytestmark = pytest.mark.tool("sshd")


@pytest.fixture
def there(tmp_path: Path) -> Iterator[Sshd]:
    (tmp_path / "host").mkdir()
    with sshd(tmp_path / "host") as made:
        yield made


@pytest.fixture
def walk(hub: tuple[Data, str], there: Sshd, tmp_path: Path) -> Iterator["Walk"]:
    made = Walk(hub, there, tmp_path)
    yield made
    there.known("host")
    made.fleet("destroy", "--all", "--confirm", made.token("destroy", "--all"))


class Walk:
    """An operator with one file and one host."""

    def __init__(self, hub: tuple[Data, str], there: Sshd, folder: Path) -> None:
        self.data, self.url = hub
        self.there, self.folder, self.file = there, folder, folder / "fleet.toml"

    def runs(self, program: str) -> None:
        options = ", ".join(f'"{word}"' for word in self.there.options)
        self.file.write_text(
            f'hub = "{self.url}"\n[ssh]\noptions = [{options}]\nprogram = ["{program}"]\n'
            f'[[machines]]\nprovider = "ssh"\nname = "far"\nhosts = ["{self.there.host}"]\nmonthly_usd = 6.0\n'
        )

    def fleet(self, *words: str) -> Result:
        where = ("--file", str(self.file), "--data", str(self.data.folder))
        return CliRunner().invoke(group, ["fleet", *words, *where])

    def token(self, *words: str) -> str:
        """The token of the plan as it stands."""
        told = self.fleet(*words)
        return (told.output + str(told.exception)).rpartition("--confirm ")[2].split()[0]

    def upgrade(self, to: str) -> Result:
        words = ("upgrade", "--to", to, "--patience", "120")
        return self.fleet(*words, "--confirm", self.token(*words))

    def nodes(self) -> list[tuple[str, str]]:
        reader = open_reader(self.data)
        try:
            return [(row.vantage.version, row.vantage.state) for row in reader.nodes()]
        finally:
            reader.close()


def test_a_machine_by_ssh_from_the_plan_to_the_end(walk: Walk) -> None:
    """The host has no `sudo`, and nothing else that `NEEDED` does not name."""
    walk.runs(release(walk.folder, "1.0"))
    token = walk.token("plan")
    walk.there.cut()
    broken = walk.fleet("apply", "--confirm", token)
    assert broken.exit_code == 1, "the connection broke as the node began"
    assert walk.there.host in broken.output and "run the command again" in broken.output
    again = (
        walk.fleet("apply", "--confirm", walk.token("plan"))
        if "0 steps" not in walk.fleet("plan").output
        else None
    )
    assert again is None or again.exit_code == 0, again.output
    until(lambda: "ok  nettrace-far" in walk.fleet("status").output, walk.folder / "hub.log")
    assert len(processes(walk.there.home, NODE)) == 1, "made once"

    walk.runs(release(walk.folder, "2.0"))
    walk.there.cut()
    stopped = walk.upgrade("2.0")
    assert stopped.exit_code == 1
    assert "1 failed (nettrace-far)" in str(stopped.exception)
    assert "the connection broke" in stopped.output.lower()
    assert walk.nodes() == [("1.0", "active")], "what ran before runs again"
    assert len(processes(walk.there.home, NODE)) == 1
    done = walk.upgrade("2.0")
    assert done.exit_code == 0, done.output
    assert walk.nodes() == [("2.0", "active")], "the same node, another version"
    assert "node.says" in walk.fleet("logs", "nettrace-far").output

    gone = walk.fleet("destroy", "--all", "--confirm", walk.token("destroy", "--all"))
    assert gone.exit_code == 0, gone.output
    assert [state for _, state in walk.nodes()] == ["revoked"]
    assert (processes(walk.there.home, NODE), walk.fleet("ls").output) == ([], "")


def test_a_host_that_has_another_key_is_told_of_with_what_to_do(walk: Walk) -> None:
    walk.runs("nettrace")
    walk.there.known("other")
    for words in (("plan",), ("ls",), ("status",), ("destroy", "--all")):
        told = walk.fleet(*words)
        assert isinstance(told.exception, Unreachable), words
        assert told.exception.detail == f"{walk.there.host}: Host key verification failed."
        assert "ssh-keygen -R 127.0.0.1" in (told.exception.hint or "")
