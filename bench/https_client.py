"""NetTrace's own HTTPS timings at a steady rate, as a program of its own.

    python -m bench.https_client RATE URLS_FILE       prints one nettrace.http/1 document a request

The command line asks its URLs one after the other; a monitor asks them at their times. This is that, through
the same `exchange` the command uses, so it can stand beside bench/libcurl_client.py.
"""

import asyncio
import json
import sys
import time
from pathlib import Path

from nettrace.measure.streams.http import HttpOptions, exchange
from nettrace.wire.documents import document

OPTIONS = HttpOptions(insecure=True)


async def ask(url: str) -> None:
    """One request on a connection of its own."""
    async for result in exchange(url, OPTIONS):
        print(json.dumps(document(result)))


async def main(rate: float, urls: list[str]) -> None:
    """Start each request at its time."""
    began = time.monotonic()
    async with asyncio.TaskGroup() as group:
        for number, url in enumerate(urls):
            await asyncio.sleep(max(0.0, began + number / rate - time.monotonic()))
            group.create_task(ask(url))


if __name__ == "__main__":
    asyncio.run(main(float(sys.argv[1]), Path(sys.argv[2]).read_text().split()))
