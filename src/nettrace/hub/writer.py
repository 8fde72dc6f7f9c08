"""The writer process: the one that holds the store. `nettrace up` starts it; everybody else asks it over its socket."""

import asyncio
import os
import signal
import socket
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import click

from nettrace.errors import NetTraceError
from nettrace.hub.open import folder_of, open_recorder
from nettrace.hub.place import Data
from nettrace.hub.serving import WriterServer
from nettrace.hub.unix_socket import short_path
from nettrace.runtime.logs import Log
from nettrace.runtime.telemetry import tracing


def listen(path: Path) -> socket.socket:
    """The writer's socket, for its owner only; a stale one is taken away (whoever holds the lock may)."""
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        with short_path(path) as name:
            listener.bind(name)
    finally:
        os.umask(before)
    listener.listen(128)
    return listener


async def run(data: Data, log: Log) -> None:
    """Be the writer of a data folder until a signal says to end.

    Raises:
        StoreError: another process writes it, or it cannot be opened.
    """
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)

    def say(words: str) -> None:
        log.say("watch.fault", what=words)

    traces = tracing("nettrace-writer")
    with ThreadPoolExecutor(1, "store") as thread:
        recorder = await loop.run_in_executor(thread, open_recorder, data, time.time_ns, say)
        try:
            listener = listen(data.socket)
            log.say("writer.ready", folder=str(data.folder))
            await WriterServer(recorder, thread, log, traces).serve(listener, ended)
        finally:
            data.socket.unlink(missing_ok=True)
            await loop.run_in_executor(thread, recorder.close)
            traces.close()
    log.say("writer.ended")


@click.command()
@click.option("--data", "folder", type=click.Path(path_type=Path, file_okay=False), default=None)
def main(folder: Path | None) -> None:
    """Hold a hub's store and write for everybody else. Started by `nettrace up`."""
    data = folder_of(folder)
    log = Log("writer")
    try:
        data.make()
        asyncio.run(run(data, log))
    except NetTraceError as error:
        log.say("writer.refused", error=str(error))
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
