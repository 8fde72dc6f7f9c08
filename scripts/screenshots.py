"""Takes pictures of every page, wide and on a phone, light and dark: `python scripts/screenshots.py [FOLDER]`.

The hub is filled with the browser tests' world: invented venues in real places, so no figure is of a real one. Without a
FOLDER only the pictures the documentation shows are taken, into `docs/assets`. Needs chromium.
"""

import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from playwright.sync_api import Browser, sync_playwright  # noqa: E402 - the tests' world is not installed
from tests.browser import world  # noqa: E402
from tests.browser.served import Served  # noqa: E402

from nettrace.hub.open import open_writer  # noqa: E402
from nettrace.hub.place import Data  # noqa: E402
from nettrace.web.plan import Asked, example  # noqa: E402

PAGES = {
    "overview": "/", "targets": "/targets", "target": f"/t/{world.MOVED}?w=24h", "pair": f"/t/{world.MOVED}/from/lon",
    "path": f"/t/{world.MOVED}/path", "matrix": "/matrix", "change": "/matrix?diff=1&w=3h", "map": "/map",
    "leaderboard": "/leaderboard?category=Crypto+Exchanges&from=lon", "compare": f"/compare?hosts={world.MOVED},api.bellwether.example&from=lon",
    "events": "/events", "event": "/events/ev_0", "suspected": "/events/suspected", "signals": "/signals?w=7d", "path-as": f"/t/{world.MOVED}/path?group=as", "fleet": "/fleet", "status": "/status", "status-of": f"/status/{world.MOVED}",
    "playground": f"/playground?op=getLatency&host={world.MOVED}", "pricing": "/pricing", "account": "/account", "login": "/login",
    "embed": f"/status/{world.MOVED}?embed=1&v=lon", "mesh": "/mesh", "mesh-pair": "/mesh/lon/nyc",
    "claims": "/claims", "plan": "/plan", "plan-solved": Asked(text=example()).address(), "measurement": f"/measurements/{world.ASKED}",
}  # fmt: skip


class Look(NamedTuple):
    """How a page is looked at."""

    width: int
    height: int
    colours: str


LOOKS = tuple(Look(width, height, colours) for width, height in ((1280, 900), (360, 740)) for colours in ("light", "dark"))  # fmt: skip
SHOWN = {
    "web-map": ("map", Look(1280, 800, "dark")),
    "web-target": ("target", Look(1280, 900, "light")),
}
"""Pictures of the documentation."""


def taken(browser: Browser, url: str, look: Look, out: Path, *, whole: bool = False) -> None:
    """One picture, of the `whole` page or of what a window shows; the page has drawn what it draws by script."""
    context = browser.new_context(
        viewport={"width": look.width, "height": look.height},
        color_scheme=look.colours,
        reduced_motion="reduce",
    )  # type: ignore[arg-type]
    page = context.new_page()
    page.goto(url)
    if "/playground" in url:
        page.wait_for_selector("#playground:not([hidden])")
    if whole:  # what loads when it is scrolled to is on the picture too
        page.evaluate(
            "document.querySelectorAll('img[loading=lazy]').forEach(each => each.loading = 'eager')"
        )
        # Not by asking again and again: the page's own policy forbids what that takes.
        page.evaluate("Promise.all([...document.images].map(each => each.decode().catch(() => null)))")
    page.screenshot(path=out, full_page=whole)
    context.close()
    print(f"{out.name}: {out.stat().st_size} bytes")


def main() -> int:
    """Fill a hub, look at it, leave nothing behind."""
    program = shutil.which("chromium")
    if program is None:
        raise SystemExit("chromium is not installed: apt install chromium")
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    with tempfile.TemporaryDirectory() as name:
        store = open_writer(Data(Path(name) / "hub"))
        world.fill(store, time.time_ns(), hours=24, step_s=240)
        store.close()
        hub = Served(Path(name) / "hub")
        try:
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
                for picture, (page, look) in SHOWN.items() if folder is None else ():
                    taken(browser, hub.url + PAGES[page], look, ROOT / "docs" / "assets" / f"{picture}.png")
                for page, path in PAGES.items() if folder is not None else ():
                    folder.mkdir(parents=True, exist_ok=True)
                    for look in LOOKS:
                        taken(
                            browser,
                            hub.url + path,
                            look,
                            folder / f"{page}-{look.width}-{look.colours}.png",
                            whole=True,
                        )
                browser.close()
        finally:
            hub.end()
    return 0


if __name__ == "__main__":
    sys.exit(main())
