"""A headless browser on a real hub: it may speak to that hub only, and complains of every error in its console."""

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright
from tests.browser import world
from tests.browser.served import PATIENCE_S, Served

from nettrace.hub.open import open_writer
from nettrace.hub.place import Data

expect.set_options(timeout=PATIENCE_S * 1000)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """A browser for one module's tests: while Playwright is open its loop counts as running, and nobody else's could."""
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("needs the program chromium (apt install)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        yield browser
        browser.close()


def filled(made: Path) -> Path:
    """A store in this folder whose newest rounds are of just now."""
    store = open_writer(Data(made))
    world.fill(store, time.time_ns(), hours=3, step_s=180)
    store.close()
    return made


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A filled store, which each hub copies: as old as the session, so what it says of now is not what is asserted."""
    return filled(tmp_path_factory.mktemp("browser") / "hub")


@pytest.fixture(scope="session")
def alone(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A hub of one user, which no test changes: one for all of them."""
    if shutil.which("chromium") is None:
        pytest.skip("needs the program chromium (apt install)")
    made = Served(shutil.copytree(folder, tmp_path_factory.mktemp("alone") / "hub"))
    yield made
    made.end()


@pytest.fixture
def shared(chromium: Browser, folder: Path, tmp_path: Path) -> Iterator[Served]:
    """A hub of one's own for a test that changes it."""
    made = Served(shutil.copytree(folder, tmp_path / "hub"))
    yield made
    made.end()


class Watched:
    """A page with all it said and asked for."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.url = url
        self.complaints: list[str] = []
        self.strangers: list[str] = []
        page.on("console", lambda message: self._hear(message.type, message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda request: self._see(request.url))

    def _hear(self, kind: str, text: str) -> None:
        if kind in {"error", "warning"}:
            self.complaints.append(text)

    def _see(self, url: str) -> None:
        if not url.startswith((self.url, "data:", "blob:")):
            self.strangers.append(url)

    def go(self, path: str) -> int:
        answer = self.page.goto(self.url + path, wait_until="load")
        assert answer is not None
        return answer.status


def opened(browser: Browser, url: str, **more: object) -> Watched:
    """A page in a fresh profile."""
    context = browser.new_context(
        **{"viewport": {"width": 1280, "height": 900}, "reduced_motion": "reduce", **more}
    )  # type: ignore[arg-type]
    context.set_default_timeout(PATIENCE_S * 1000)
    return Watched(context.new_page(), url)
