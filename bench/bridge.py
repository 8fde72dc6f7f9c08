"""A real server a fixed delay away: two namespaces joined by router.c, HTTPS answered by a real kernel.

By hand::

    python -m bench.bridge --delay-ms 10 -- curl --cacert '{ca}' https://10.210.0.2/

`{ca}` in the command becomes the path of the certificate authority's file.
"""

import argparse
import contextlib
import ctypes
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import trustme

from bench.emulator import (
    CLONE_NEWNET,
    Namespace,
    Unavailable,
    compiled,
    configure,
    enter_new_namespace,
    run_ip,
    scratch,
    start_router,
    stop_router,
)

CLIENT4, CLIENT6 = "10.210.0.1", "fd00:210::1"
SERVER4, SERVER6 = "10.210.0.2", "fd00:210::2"
MANY4 = "10.211.0.0/16"
URL = f"https://{SERVER4}/"
BODY = "ok"
PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)

NGINX = """
daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log;
events {{ worker_connections 4096; }}
http {{
  access_log off; client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};
  uwsgi_temp_path {folder}; scgi_temp_path {folder}; keepalive_requests 100000; server_tokens off;
  server {{
    listen 443 ssl backlog=4096; listen [::]:443 ssl backlog=4096; listen 80 backlog=4096;
    ssl_certificate {folder}/cert.pem; ssl_certificate_key {folder}/key.pem;
    ssl_protocols TLSv1.3; ssl_ecdh_curve prime256v1:X25519;
    location / {{ default_type text/plain; return 200 "{body}"; }}
  }}
}}
"""


def die_with_parent() -> None:
    """For `preexec_fn`: the child ends when this process does, also after kill -9."""
    _libc.prctl(PR_SET_PDEATHSIG, 9)


@contextlib.contextmanager
def inside(namespace_fd: int) -> Iterator[None]:
    """The calling thread in another network namespace for the length of the block."""
    back = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        if _libc.setns(namespace_fd, CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "setns")
        yield
    finally:
        _libc.setns(back, CLONE_NEWNET)
        os.close(back)


def new_namespace(stack: contextlib.ExitStack) -> int:
    """A further network namespace, loopback up, as a file that the stack closes; it lives as long as the file."""
    near = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        enter_new_namespace()
        far = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        stack.callback(os.close, far)
    finally:
        _libc.setns(near, CLONE_NEWNET)
        os.close(near)
    return far


@contextlib.contextmanager
def https_server(cpu: int | None) -> Iterator[Path]:
    """HTTPS on 443 and HTTP on 80 of the current namespace; gives the file of the certificate authority."""
    with scratch() as folder:
        authority = trustme.CA(key_type=trustme.KeyType.ECDSA)
        certificate = authority.issue_cert(SERVER4, SERVER6, "localhost", key_type=trustme.KeyType.ECDSA)
        authority.cert_pem.write_to_path(str(folder / "ca.pem"))
        (folder / "cert.pem").write_bytes(b"".join(blob.bytes() for blob in certificate.cert_chain_pems))
        certificate.private_key_pem.write_to_path(str(folder / "key.pem"))

        def prepare() -> None:
            die_with_parent()
            if cpu is not None:
                os.sched_setaffinity(0, {cpu})

        server = subprocess.Popen(
            _server_command(folder),
            preexec_fn=prepare,  # noqa: PLW1509 - this program has one thread
            stderr=subprocess.DEVNULL,
        )
        try:
            _await_port(443)
            yield folder / "ca.pem"
        finally:
            _end(server)


def _server_command(folder: Path) -> list[str]:
    nginx = shutil.which("nginx", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin")
    if nginx is None:
        return [sys.executable, "-m", "bench.origin", str(folder)]
    config = folder / "nginx.conf"
    config.write_text(NGINX.format(folder=folder, body=BODY))
    return [nginx, "-c", str(config), "-p", str(folder), "-e", str(folder / "error.log")]


def _await_port(port: int) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.02)
    raise Unavailable("the benchmark's HTTPS server did not start")


class Bridge(Namespace):
    """This thread on the client's side of the delay; an HTTPS server at 10.210.0.2 on the other.

    Args:
        delay_ms: one way.
        loss: share of packets dropped in each direction.
        cpu: CPU of the bridge and of the server.

    Attributes:
        ca: file of the certificate authority.
    """

    device = "nt0"

    def __init__(self, delay_ms: float = 10.0, loss: float = 0.0, cpu: int | None = 1) -> None:
        self.words = [f"hop_us={delay_ms * 1000}", f"loss={loss}"]
        self.cpu = cpu if cpu is not None and cpu < (os.cpu_count() or 1) else None
        self.ca = Path()

    def __enter__(self) -> Self:
        program = compiled()
        super().__enter__()
        self._stack = contextlib.ExitStack()
        try:
            self._build(program)
        except BaseException:
            self._stack.close()
            super().__exit__(None, None, None)
            raise
        return self

    def _build(self, program: Path) -> None:
        cpu = -1 if self.cpu is None else self.cpu
        router = start_router(program, "bridge", *self.words, busy=0, cpu=cpu)
        self._stack.callback(stop_router, router)
        self.far_side = new_namespace(self._stack)
        run_ip("link", "set", "nt1", "netns", f"/proc/{os.getpid()}/fd/{self.far_side}")
        configure("nt0", CLIENT4, CLIENT6)
        with inside(self.far_side):
            configure("nt1", SERVER4, SERVER6)
            run_ip("route", "add", "local", MANY4, "dev", "lo")
            self.ca = self._stack.enter_context(https_server(self.cpu))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()
        super().__exit__(kind, error, trace)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def main() -> int:
    """Run a command on the client's side."""
    parser = argparse.ArgumentParser(prog="python -m bench.bridge", description=__doc__.split("\n\n")[0])
    parser.add_argument("--delay-ms", type=float, default=10.0, help="one way")
    parser.add_argument("--loss", type=float, default=0.0)
    parser.add_argument("command", nargs=argparse.REMAINDER, help="-- COMMAND ...")
    given = parser.parse_args()
    command = given.command[1:] if given.command[:1] == ["--"] else given.command
    try:
        with Bridge(given.delay_ms, given.loss) as bridge:
            words = [word.replace("{ca}", str(bridge.ca)) for word in command or ["bash"]]
            return subprocess.run(words, check=False).returncode
    except Unavailable as problem:
        sys.exit(f"bench.bridge: {problem}")


if __name__ == "__main__":
    sys.exit(main())
