"""The SSH provider through a real sshd on loopback: its own port, keys and known hosts, nothing of the user's."""

import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.unit.providers.sshd import Sshd, sshd
from tests.unit.providers.test_shell import TOKEN, sleeper, until

from nettrace.errors import Unreachable
from nettrace.outside.providers.port import Order, Secret
from nettrace.outside.providers.ssh import SshMachines
from nettrace.placement.fleet import Wanted
from nettrace.placement.fleet_file import Ssh

pytestmark = pytest.mark.tool("sshd")


@pytest.fixture
def there(tmp_path: Path) -> Iterator[Sshd]:
    with sshd(tmp_path) as made:
        yield made


@pytest.fixture
def machines(there: Sshd, tmp_path: Path) -> Iterator[SshMachines]:
    made = SshMachines("nt", Ssh(options=there.options, program=(str(sleeper(tmp_path)),)))
    yield made
    there.known("host")
    for each in made.machines([there.host]):
        made.destroy(each)


def test_a_node_over_a_real_connection(machines: SshMachines, there: Sshd, tmp_path: Path) -> None:
    hostile = f"$(touch {tmp_path}/canary) ' \" \\ ;"
    order = Order(Wanted("nt-a", "a", "ssh", (there.host,), ""), ("--city", hostile), Secret(TOKEN))
    made = machines.create(order, there.host)
    assert machines.create(order, there.host) == made
    (found,) = machines.machines([there.host])
    assert (found.name, found.state) == ("nt-a", "started")
    home = there.home / "nettrace-fleet/nt-a"
    assert (home / "token").read_text() == TOKEN
    assert stat.S_IMODE((home / "token").stat().st_mode) == 0o600
    until(lambda: hostile in "\n".join(machines.logs(found, 5)))
    assert not (tmp_path / "canary").exists()
    machines.destroy(found)
    assert machines.machines([there.host]) == []
    assert not home.exists()


def test_a_host_with_another_key_is_not_spoken_to(machines: SshMachines, there: Sshd) -> None:
    there.known("other")
    with pytest.raises(Unreachable, match="Host key verification failed") as told:
        machines.machines([there.host])
    assert there.host in told.value.detail
    assert "ssh-keygen -R" in (told.value.hint or "")
    assert not there.home.exists()
