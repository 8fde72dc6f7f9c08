"""A hub in one file, for the node's tests: real HTTP on loopback, signatures checked, everything in a ledger on disk.

`python hub_double.py FOLDER PORT`: FOLDER holds `secret`, `assignment.msgpack` and `ledger.jsonl`, one line for each
entry in the order of their commits; a kill at any moment leaves at most a torn last line, which was never answered.
A file `say` in FOLDER holds a status code to answer reports with, `work.msgpack` work to hand out once.
"""

import json
import os
import sys
import threading
import time
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import msgspec

from nettrace.wire.frames import Ack, Assignment, Enrol, Enrolled, Gap, Report, Work
from nettrace.wire.signing import TIME_HEADER, genuine, key_of, timely

NODE = "nd_test"


class Read(msgspec.Struct):
    """How far a ledger was read at the last start: a thousand starts read it once altogether."""

    bytes: int = 0
    upto: dict[str, int] = {}


class Ledger:
    """What is on this hub's disk."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        path.touch()
        self._file = path.open("r+b")
        noted = path.with_suffix(".read")
        read = msgspec.json.decode(noted.read_bytes(), type=Read) if noted.exists() else Read()
        if read.bytes > path.stat().st_size:  # an older ledger was put back
            read = Read()
        self.upto = read.upto
        self._file.seek(read.bytes)
        for line in self._file:
            if not line.endswith(b"\n"):
                break
            row = json.loads(line)
            self.upto[row["epoch"]] = row["last_seq"]
            read.bytes += len(line)
        self._file.truncate(read.bytes)
        self._file.seek(read.bytes)
        fresh = noted.with_suffix(".new")
        fresh.write_bytes(msgspec.json.encode(read))
        fresh.replace(noted)

    def take(self, report: Report) -> int:
        """Append what is new, on disk before this returns; up to where everything is there."""
        with self._lock:
            upto = self.upto.get(report.epoch, 0)
            if report.first_seq > upto + 1:
                return upto
            for entry in report.entries:
                last = entry.last_seq if isinstance(entry, Gap) else entry.seq
                if last <= upto:
                    continue
                self._file.write(json.dumps(_row(report.epoch, entry, last)).encode() + b"\n")
                upto = last
            self._file.flush()
            os.fsync(self._file.fileno())
            self.upto[report.epoch] = upto
            return upto


def _row(epoch: str, entry: Any, last: int) -> dict[str, Any]:
    row = {"epoch": epoch, "last_seq": last} | msgspec.to_builtins(entry)
    row["wrote_at"] = time.time_ns()
    return row


def serve(folder: Path, port: int) -> None:
    """Serve until killed."""
    ledger = Ledger(folder / "ledger.jsonl")
    heartbeats = (folder / "reports.jsonl").open("a")
    secret = (folder / "secret").read_text()
    skew_ns = int((folder / "skew").read_text()) if (folder / "skew").exists() else 0

    class Door(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            return

        def _answer(self, status: int, body: bytes = b"", **headers: str) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def _refuses(self, body: bytes) -> bool:
            now = time.time_ns() + skew_ns
            given = dict(self.headers)
            if not genuine(key_of(secret), (self.command, self.path), given, body):
                self._answer(401)
                return True
            if not timely(given, now):
                self._answer(401, **{TIME_HEADER: str(now)})
                return True
            return False

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if self.path == "/api/v1/nodes/enrol":
                self._enrol(body)
            elif not self._refuses(body):
                self._report(body)

        def _enrol(self, body: bytes) -> None:
            asked = msgspec.msgpack.decode(body, type=Enrol)
            if asked.token != "token":
                self._answer(403, b'{"detail":"the token is used up"}')
                return
            enrolled = Enrolled(node=NODE, secret=secret, assignment=_assignment(folder))
            self._answer(201, msgspec.msgpack.encode(enrolled))

        def _report(self, body: bytes) -> None:
            received_at = time.time_ns() + skew_ns
            report = msgspec.msgpack.decode(zlib.decompress(body), type=Report)
            said = folder / "say"
            if said.exists() and (status := said.read_text()):
                poison = folder / "poison"
                if not poison.exists() or any(poison.read_text() == _name(entry) for entry in report.entries):
                    self._answer(int(status), b'{"detail":"as it was told"}')
                    return
            heartbeats.write(
                json.dumps(msgspec.to_builtins(msgspec.structs.replace(report, entries=()))) + "\n"
            )
            heartbeats.flush()
            upto = ledger.take(report)
            wanted = _assignment(folder)
            ack = Ack(
                upto_seq=upto,
                received_at=received_at,
                answered_at=time.time_ns() + skew_ns,
                assignment=wanted if wanted.version != report.assignment else None,
                wait_s=float((folder / "wait").read_text()) if (folder / "wait").exists() else 0.0,
            )
            self._answer(200, msgspec.msgpack.encode(ack))

        def do_GET(self) -> None:
            if self._refuses(b""):
                return
            until = time.monotonic() + 2
            path = folder / "work.msgpack"
            while time.monotonic() < until:
                if path.exists():
                    body = path.read_bytes()
                    path.unlink()
                    msgspec.msgpack.decode(body, type=tuple[Work, ...])
                    self._answer(200, body)
                    return
                time.sleep(0.02)
            self._answer(204)

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        allow_reuse_address = True

        def handle_error(self, *_: object) -> None:
            return

    server = Server(("127.0.0.1", port), Door)
    os.write(1, b"%d\n" % server.server_address[1])  # whoever started this reads it
    server.serve_forever(poll_interval=0.1)


def _name(entry: Any) -> str:
    return getattr(entry, "target", "")


def _assignment(folder: Path) -> Assignment:
    return msgspec.msgpack.decode((folder / "assignment.msgpack").read_bytes(), type=Assignment)


if __name__ == "__main__":
    serve(Path(sys.argv[1]), int(sys.argv[2]))
