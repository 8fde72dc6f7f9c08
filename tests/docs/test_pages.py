"""The pages hold together: generated ones are fresh, links lead somewhere, nothing names a workplace."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.docs.pages import ROOT, blocks, name, pages, prose

from nettrace import errors

LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)
DECISIONS = sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as the site makes them."""
    made: set[str] = set()
    for heading in HEADING.findall(prose(page)):
        plain = re.sub(r"[^\w\s-]", "", re.sub(r"[`*]", "", heading)).strip().lower()
        made.add(re.sub(r"[-\s]+", "-", plain))
    return made


def test_generated_pages_are_fresh() -> None:
    done = subprocess.run(
        [sys.executable, "scripts/reference.py", "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_a_field_nobody_described_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    import reference

    reference.matched("a page", ["a"], {"a": ""})
    with pytest.raises(reference.Undescribed, match="does not describe b of a page"):
        reference.matched("a page", ["a", "b"], {"a": ""})
    with pytest.raises(reference.Undescribed, match="describes b, which a page has not"):
        reference.matched("a page", ["a"], {"a": "", "b": ""})


def test_shapes_tell_types_and_what_may_be_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    from document_examples import shapes

    documents = [
        {"schema": "x/1", "rtt_ms": [1.5, None], "hops": [{"ttl": 1}, {"ttl": 2, "also": ["a"]}]},
        {"schema": "x/1", "rtt_ms": [], "hops": None},
    ]
    assert shapes(documents) == {
        "x/1": {
            "schema": "text",
            "rtt_ms": "list of (number or null)",
            "hops": "list of object or null",
            "hops[].ttl": "integer",
            "hops[].also": "list of text; may be absent",
        }
    }


@pytest.mark.parametrize("page", pages(), ids=name)
def test_links_lead_somewhere(page: Path) -> None:
    for link in LINK.findall(prose(page)):
        target, _, anchor = link.partition("#")
        if "://" in link or target.startswith("mailto:"):
            continue
        there = (page.parent / target).resolve() if target else page
        assert there.exists(), f"{name(page)}: {link}"
        if page.is_relative_to(ROOT / "docs"):
            assert there.is_relative_to(ROOT / "docs"), f"{name(page)}: {link} leaves the site"
        if anchor:
            assert anchor in anchors(there), f"{name(page)}: {link}"


def test_every_page_is_in_the_navigation_and_in_the_index() -> None:
    navigation = (ROOT / "zensical.toml").read_text()
    index = (ROOT / "docs" / "index.md").read_text()
    for page in (ROOT / "docs").rglob("*.md"):
        path = str(page.relative_to(ROOT / "docs"))
        if page in DECISIONS or path == "index.md":
            continue
        assert f'"{path}"' in navigation, path
        assert f"({path})" in index, path


@pytest.mark.parametrize("record", DECISIONS, ids=lambda path: path.name)
def test_a_decision_is_a_record(record: Path) -> None:
    text = record.read_text()
    assert re.match(rf"# {record.name[:4]}\b", text), "the first line has the number and what was decided"
    assert f"({record.name})" in (ROOT / "docs" / "decisions" / "README.md").read_text()


def test_every_decision_that_is_named_exists() -> None:
    there = {record.name[:4] for record in DECISIONS}
    for page in [*pages(), *(ROOT / "src").rglob("*.py")]:
        for number in re.findall(r"(?:decisions?[ /])(\d{4})\b", page.read_text()):
            assert number in there, f"{name(page)} names decision {number}"


def test_every_error_is_on_its_page() -> None:
    page = (ROOT / "docs" / "reference" / "errors.md").read_text()
    kinds = [
        each
        for each in vars(errors).values()
        if isinstance(each, type) and issubclass(each, errors.NetTraceError)
    ]
    assert kinds
    assert not [kind.slug for kind in kinds if f"| `{kind.slug}` |" not in page]


@pytest.mark.parametrize("page", pages(), ids=name)
def test_no_page_names_a_workplace(page: Path) -> None:
    text = page.read_text()
    for place in re.findall(r"(?<![\w.])/(?:home|root|work|Users|tmp|mnt)/[\w./-]+", text):
        pytest.fail(f"{name(page)} names {place}")


@pytest.mark.parametrize("page", pages(), ids=name)
def test_pictures_are_there_and_fetch_nothing(page: Path) -> None:
    for link in re.findall(r"!\[[^\]]+\]\(([^)]+\.svg)\)", page.read_text()):
        picture = (page.parent / link).read_text()
        assert "<svg" in picture
        assert not re.search(r"(?:url\(|href=\"|src=\")https?:", picture), link


def test_the_lab_guides_world_is_a_world() -> None:
    from nettrace.lab.truth import Oracle
    from nettrace.lab.worldfile import parse

    (text,) = blocks(ROOT / "docs" / "guides" / "lab.md", "toml")
    pair = Oracle(parse(text)).pair("nyc", "venue.lab")
    assert pair["reaches"]
    assert f'"rtt_ms":{pair["rtt_ms"]},' in (ROOT / "docs" / "guides" / "lab.md").read_text()
