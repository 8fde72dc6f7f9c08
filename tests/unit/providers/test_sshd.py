"""The SSH provider through a real sshd on loopback: its own port, keys and known hosts, nothing of the user's."""

import getpass
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.unit.providers.test_shell import TOKEN, sleeper

from nettrace.outside.providers.port import Order, Secret
from nettrace.outside.providers.ssh import SshMachines
from nettrace.placement.fleet import Wanted
from nettrace.placement.fleet_file import Ssh

pytestmark = [pytest.mark.tool("sshd"), pytest.mark.root]


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[SshMachines]:
    import socket

    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / name], check=True)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    (tmp_path / "sshd_config").write_text(
        f"ListenAddress 127.0.0.1\nPort {port}\nHostKey {tmp_path}/host\nPidFile none\nUsePAM no\nStrictModes no\n"
        f"AuthorizedKeysFile {tmp_path}/user.pub\nPasswordAuthentication no\nPermitRootLogin prohibit-password\n"
        f"SetEnv XDG_DATA_HOME={tmp_path}/there\n"
    )
    Path("/run/sshd").mkdir(exist_ok=True)  # where sshd separates its rights
    public = (tmp_path / "host.pub").read_text()
    (tmp_path / "known").write_text(f"[127.0.0.1]:{port} {public}")
    daemon = shutil.which("sshd")
    assert daemon
    log = (tmp_path / "sshd.log").open("wb")
    server = subprocess.Popen([daemon, "-D", "-e", "-f", tmp_path / "sshd_config"], stderr=log)
    options = ("-F", "none", "-p", str(port), "-i", str(tmp_path / "user"), "-o", "IdentitiesOnly=yes")
    known = ("-o", f"UserKnownHostsFile={tmp_path}/known", "-o", "StrictHostKeyChecking=yes")
    made = SshMachines("nt", Ssh(options=(*options, *known), program=(str(sleeper(tmp_path)),)))
    try:
        for _ in range(200):
            with socket.socket() as knock:
                if knock.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        yield made
        for each in made.machines([host()]):
            made.destroy(each)
    finally:
        server.terminate()
        server.wait(10)
        log.close()


def host() -> str:
    return f"{getpass.getuser()}@127.0.0.1"


def test_a_node_over_a_real_connection(machines: SshMachines, tmp_path: Path) -> None:
    hostile = f"$(touch {tmp_path}/canary) ' \" \\ ;"
    order = Order(Wanted("nt-a", "a", "ssh", (host(),), ""), ("--city", hostile), Secret(TOKEN))
    made = machines.create(order, host())
    assert machines.create(order, host()) == made
    (found,) = machines.machines([host()])
    assert (found.name, found.state) == ("nt-a", "started")
    home = tmp_path / "there/nettrace-fleet/nt-a"
    assert (home / "token").read_text() == TOKEN
    assert stat.S_IMODE((home / "token").stat().st_mode) == 0o600
    for _ in range(200):
        if hostile in "\n".join(machines.logs(found, 5)):
            break
        time.sleep(0.05)
    assert hostile in "\n".join(machines.logs(found, 5)), f"by {sys.executable}"
    assert not (tmp_path / "canary").exists()
    machines.destroy(found)
    assert machines.machines([host()]) == []
    assert not home.exists()
