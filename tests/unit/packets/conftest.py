"""Golden packets: `golden/*.hex` hold one or several named byte strings with their story."""

from collections.abc import Callable
from pathlib import Path

import pytest

FOLDER = Path(__file__).with_name("golden")


@pytest.fixture
def golden() -> Callable[[str], dict[str, bytes]]:
    def read(name: str) -> dict[str, bytes]:
        parts: dict[str, str] = {}
        current = ""
        for line in (FOLDER / f"{name}.hex").read_text().splitlines():
            if line.startswith("#"):
                continue
            if line.endswith(":"):
                current = line[:-1]
                parts[current] = ""
            else:
                parts[current] = parts.get(current, "") + line
        return {part: bytes.fromhex(text) for part, text in parts.items() if part}

    return read
