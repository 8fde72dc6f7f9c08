"""The placement document's page: it asks nobody for anything, and fits a desk and a phone."""

from pathlib import Path

import pytest
from playwright.sync_api import Browser, Request
from tests.cli.placement_truth import EXAMPLE, truth_file
from tests.cli.program import nettrace

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("placement")
    results = str(truth_file(folder))
    done = nettrace("plan", str(EXAMPLE), "--results", results, "--estimates", "never", "-o", "html")
    assert done.code == 0, done.err
    file = folder / "placement.html"
    file.write_text(done.out)
    return file


@pytest.mark.parametrize("width", [1280, 360])
def test_nothing_overflows_and_nothing_is_fetched(chromium: Browser, page_file: Path, width: int) -> None:
    page = chromium.new_page(viewport={"width": width, "height": 900})
    asked: list[str] = []

    def note(request: Request) -> None:
        asked.append(request.url)

    page.on("request", note)
    page.goto(page_file.as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert asked == [page_file.as_uri()]
    assert page.locator("svg.topology rect").count() == 4
    page.close()
