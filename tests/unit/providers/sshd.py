"""A real sshd on loopback with its own port, keys, known hosts and host's programs: nothing of the user's is read or changed."""

import getpass
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.ports import held_port

PATIENCE_S = 60.0
NEEDED = "sh cat cp flock grep ls mkdir mv rm setsid sleep tail tr".split()
"""All that a host must have beside NetTrace; `sudo` is not among them."""


_MV = """#!{python}
import os, pathlib, sys
cut = pathlib.Path('{folder}/cut')
if cut.exists():
    cut.unlink()
    pid, above = os.getppid(), []
    while pid != {listener}:
        above.append(pid)
        pid = int(pathlib.Path(f'/proc/{{pid}}/stat').read_text().rpartition(')')[2].split()[1])
    for pid in above:
        if b'sshd' in pathlib.Path(f'/proc/{{pid}}/cmdline').read_bytes(): os.kill(pid, 9)
os.execv('{mv}', ['mv', *sys.argv[1:]])
"""
"""`mv` of the host, which the script needs in its middle: when told to it first breaks the connection it runs over."""


class Sshd:
    """The server, and how to reach it.

    Attributes:
        options: for `ssh`; whatever else is on this machine is left out of account.
        home: the host's data folder.
    """

    def __init__(self, folder: Path, port: int) -> None:
        self.folder, self.port = folder, port
        self.home = folder / "there"
        self.host = f"{getpass.getuser()}@127.0.0.1"
        known = ("-o", f"UserKnownHostsFile={folder}/known", "-o", "StrictHostKeyChecking=yes")
        self.options = (
            "-F", "none", "-p", str(port), "-i", str(folder / "user"), "-o", "IdentitiesOnly=yes", *known,
        )  # fmt: skip

    def cut(self) -> None:
        """The next command that changes something there loses its connection in the middle."""
        (self.folder / "cut").touch()

    def known(self, key: str) -> None:
        """The user knows the host by this key file."""
        (self.folder / "known").write_text(
            f"[127.0.0.1]:{self.port} {(self.folder / key).with_suffix('.pub').read_text()}"
        )


@contextmanager
def sshd(folder: Path) -> Iterator[Sshd]:
    """A host whose PATH holds what a host needs and nothing else."""
    for name in ("host", "user", "other"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
    held = held_port()
    made = Sshd(folder, held.getsockname()[1])
    (folder / "programs").mkdir()
    for name in NEEDED:
        found = shutil.which(name)
        assert found, name
        (folder / "programs" / name).symlink_to(found)
    (folder / "sshd_config").write_text(
        f"ListenAddress 127.0.0.1\nPort {made.port}\nHostKey {folder}/host\nPidFile none\nUsePAM no\nStrictModes no\n"
        f"AuthorizedKeysFile {folder}/user.pub\nPasswordAuthentication no\nPermitRootLogin prohibit-password\n"
        f"SetEnv XDG_DATA_HOME={made.home} PATH={folder}/programs\n"
    )
    made.known("host")
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # where sshd separates its rights
    daemon = shutil.which("sshd")
    assert daemon
    with (folder / "sshd.log").open("wb") as log:
        server = subprocess.Popen([daemon, "-D", "-e", "-f", folder / "sshd_config"], stderr=log)
    _breaking(folder, server.pid)
    try:
        until = time.monotonic() + PATIENCE_S
        while not _listens(made.port):
            assert time.monotonic() < until, (folder / "sshd.log").read_text()
            time.sleep(0.05)
        yield made
    finally:
        server.terminate()
        server.wait(PATIENCE_S)
        held.close()


def _listens(port: int) -> bool:
    with socket.socket() as knock:
        return knock.connect_ex(("127.0.0.1", port)) == 0


def _breaking(folder: Path, listener: int) -> None:
    program = folder / "programs/mv"
    mv = program.resolve()
    program.unlink()
    program.write_text(_MV.format(python=sys.executable, folder=folder, listener=listener, mv=mv))
    program.chmod(0o700)
