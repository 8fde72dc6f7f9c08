"""`python -m nettrace.serve.worker`: one process that serves the API and the pages; see `nettrace.api.worker`."""

import sys
from collections.abc import Sequence

from nettrace.api import worker
from nettrace.web.doors import page_doors


def main(words: Sequence[str] | None = None) -> int:
    """Serve until told to stop."""
    return worker.main(words, page_doors)


if __name__ == "__main__":
    sys.exit(main())
