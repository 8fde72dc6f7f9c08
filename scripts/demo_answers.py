"""Records the playground's demo data: what every operation's example answers on the example hub of the tests.

`python scripts/demo_answers.py` writes `src/nettrace/web/static/demo.json`. The numbers are invented (the hub is
filled by `tests/api/conftest.py`), the answers are real: long lists are cut to their first entries.
"""

import asyncio
import json
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.api import conftest as example  # noqa: E402 - the tests' hub is not installed
from tests.api.test_examples import filled_in  # noqa: E402

from nettrace.api.operation import Operation  # noqa: E402
from nettrace.api.table import OPERATIONS  # noqa: E402
from nettrace.hub.open import open_writer  # noqa: E402
from nettrace.hub.place import Data  # noqa: E402

OUT = ROOT / "src" / "nettrace" / "web" / "static" / "demo.json"
ENTRIES = 3
CHARACTERS = 1200
HEADERS = (
    "content-type", "nettrace-cost", "ratelimit", "ratelimit-policy", "x-ratelimit-limit", "x-ratelimit-remaining",
    "x-ratelimit-reset", "etag",
)  # fmt: skip
LEFT_OUT = ("openapi", "docs", "llms", "problem", "downloadExportFile")
"""What needs no key anyhow, or is a file."""


def cut(value: Any) -> Any:
    """The same document with short lists."""
    if isinstance(value, list):
        return [cut(each) for each in value[:ENTRIES]]
    return {name: cut(each) for name, each in value.items()} if isinstance(value, dict) else value


async def recorded(folder: Path, operation: Operation) -> dict[str, Any]:
    """One operation's example and its answer, on a hub of its own key."""
    async with example.running(folder) as hub:
        owner = hub.key("enterprise_pro")
        path = await filled_in(hub, operation, owner)
        of_owner = operation.feature is not None or "{custom}" in operation.example
        headers = owner if of_owner else hub.key("pro")
        if operation.id == "revokeKey":
            headers = hub.key("enterprise_pro")
        answer = await hub.client.request(
            operation.method, path, json=operation.example_body, headers=headers
        )
        if answer.status_code != operation.status:
            raise SystemExit(f"{operation.id} answered {answer.status_code}: {answer.text}")
        told = {name: answer.headers[name] for name in HEADERS if name in answer.headers}
        is_json = "json" in answer.headers["content-type"]
        body = cut(answer.json()) if is_json else answer.text[:CHARACTERS]
        if operation.id == "createKey":
            body["key"] = re.sub(r"(nt_[a-z]+_)\w+", r"\1...", body["key"])
        return {
            "method": operation.method,
            "path": path,
            "status": answer.status_code,
            "headers": told,
            "body": body,
        }


async def main() -> None:
    """Record every operation that is worth it."""
    found: dict[str, Any] = {}
    for operation in OPERATIONS:
        if operation.id in LEFT_OUT:
            continue
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name) / "hub"
            store = open_writer(Data(folder))
            example.fill(store)
            store.close()
            found[operation.id] = await recorded(folder, operation)
    OUT.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")
    print(f"{OUT.relative_to(ROOT)}: {len(found)} answers, {OUT.stat().st_size} bytes")


if __name__ == "__main__":
    asyncio.run(main())
