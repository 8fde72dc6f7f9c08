"""Fetching and keeping databases, against a server on loopback."""

import gzip
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from nettrace.analysis.geo.annotate import Network
from nettrace.errors import Invalid, SourceError
from nettrace.outside import download
from nettrace.outside.databases import (
    SOURCES,
    add,
    default_folder,
    installed,
    open_lookups,
    remove,
    source,
    update,
)
from nettrace.outside.download import fetch

TABLE = b"192.0.2.0\t192.0.2.255\t64500\tGB\tEXAMPLE\n"


class Server(ThreadingHTTPServer):
    """Serves `pages`; keeps what was asked."""

    pages: dict[str, bytes]
    asked: list[tuple[str, str | None]]


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.asked.append((self.path, self.headers["If-None-Match"]))
        page = self.server.pages.get(self.path)
        if self.path == "/short":
            self.send_response(200)
            self.send_header("Content-Length", "100")
            self.end_headers()
            self.wfile.write(b"only this")
            return
        if page is None:
            self.send_error(404)
        elif self.headers["If-None-Match"] == f'"{len(page)}"':
            self.send_response(304)
            self.end_headers()
        else:
            self.send_response(200)
            self.send_header("ETag", f'"{len(page)}"')
            self.send_header("Content-Length", str(len(page)))
            self.end_headers()
            self.wfile.write(page)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server(("127.0.0.1", 0), Handler)
    made.pages, made.asked = {"/asn.tsv.gz": gzip.compress(TABLE), "/2026-02.tsv": TABLE}, []
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield made
    made.shutdown()
    thread.join()
    made.server_close()


def url(server: Server, path: str) -> str:
    return f"http://127.0.0.1:{server.server_port}{path}"


def test_nothing_is_there_until_somebody_adds_it(tmp_path: Path) -> None:
    assert installed(tmp_path) == []
    known = open_lookups(tmp_path)
    assert known.network("192.0.2.1") is None
    assert known.database("192.0.2.1") is None
    assert known.exchange("192.0.2.1") is None
    assert known.hint("ae-1.r20.tokyjp05.jp.bb.gin.ntt.net") is not None, "hints need no database"


def test_a_fetched_database_answers_and_remembers_source_and_licence(server: Server, tmp_path: Path) -> None:
    change = update(tmp_path, "asn", url(server, "/asn.tsv.gz"), "PDDL 1.0")
    assert change.fresh
    (found,) = installed(tmp_path)
    assert (found.kind, found.source, found.licence) == ("asn", url(server, "/asn.tsv.gz"), "PDDL 1.0")
    assert found.entries == 1
    assert open_lookups(tmp_path).network("192.0.2.1") == Network(64500, "EXAMPLE", "GB")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["asn.json", "asn.table"]


def test_a_second_fetch_asks_only_whether_anything_is_new(server: Server, tmp_path: Path) -> None:
    address = url(server, "/asn.tsv.gz")
    first = update(tmp_path, "asn", address, "PDDL 1.0").database
    again = update(tmp_path, "asn", address, "PDDL 1.0")
    assert not again.fresh
    assert again.database == first
    assert server.asked[1][1] == first.etag
    server.pages["/asn.tsv.gz"] = gzip.compress(TABLE + b"198.51.100.0\t198.51.100.255\t64501\tDE\tOTHER\n")
    assert update(tmp_path, "asn", address, "PDDL 1.0").database.entries == 2


def test_year_and_month_of_a_published_address_are_those_of_the_fetch(server: Server, tmp_path: Path) -> None:
    update(tmp_path, "asn", url(server, "/{year}-{month}.tsv"), "x", now=1_770_000_000_000_000_000)
    assert server.asked[0][0] == "/2026-02.tsv"


@pytest.mark.parametrize("path", ["/absent", "/short", "/rubbish"])
def test_a_failed_fetch_leaves_what_was_there(path: str, server: Server, tmp_path: Path) -> None:
    server.pages["/rubbish"] = b"<html>not a table</html>"
    update(tmp_path, "asn", url(server, "/asn.tsv.gz"), "x")
    with pytest.raises(SourceError):
        update(tmp_path, "asn", url(server, path), "x")
    assert open_lookups(tmp_path).network("192.0.2.1") == Network(64500, "EXAMPLE", "GB")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["asn.json", "asn.table"]


def test_a_damaged_or_swollen_gzip_is_refused(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.pages["/cut.gz"] = gzip.compress(TABLE * 1000)[:-20]
    with pytest.raises(SourceError, match="damaged gzip"):
        fetch(url(server, "/cut.gz"), tmp_path / "x")
    server.pages["/bomb.gz"] = gzip.compress(bytes(3 << 20))
    monkeypatch.setattr(download, "LIMIT_BYTES", 1 << 20)
    with pytest.raises(SourceError, match="unpacks to more"):
        fetch(url(server, "/bomb.gz"), tmp_path / "x")
    server.pages["/large"] = bytes(3 << 20)
    with pytest.raises(SourceError, match="larger than"):
        fetch(url(server, "/large"), tmp_path / "x")


def test_only_web_addresses_are_fetched(tmp_path: Path) -> None:
    for address in ("file:///etc/passwd", "ftp://127.0.0.1/x", "/etc/passwd"):
        with pytest.raises(Invalid):
            fetch(address, tmp_path / "x")
    with pytest.raises(SourceError, match="cannot be fetched"):
        fetch("http://127.0.0.1:1/x", tmp_path / "x")


def test_files_a_user_has_are_added_and_removed(tmp_path: Path) -> None:
    folder, table = tmp_path / "db", tmp_path / "mine.csv"
    table.write_text("192.0.2.0/24,64500\nbad line\n")
    change = add(folder, "asn", [table], str(table), "mine")
    assert change.database.skipped == 1
    assert [each.line for each in change.skipped] == [2]
    table.write_text("prefix,country,city,latitude,longitude\n192.0.2.0/24,JP,Osaka,34.69,135.5\n")
    add(folder, "city", [table], str(table), "mine")
    found = open_lookups(folder).database("192.0.2.1")
    assert found is not None
    assert found.name == "Osaka"
    assert remove(folder, "city")
    assert not remove(folder, "city")
    assert open_lookups(folder).database("192.0.2.1") is None


def test_a_file_named_for_this_run_goes_before_the_installed_one(tmp_path: Path) -> None:
    folder, one, two = tmp_path / "db", tmp_path / "one", tmp_path / "two"
    one.write_text("192.0.2.0/24,64500\n")
    two.write_text("192.0.2.0/24,64501\n")
    add(folder, "asn", [one], "one", "x")
    assert open_lookups(folder, asn=two).network("192.0.2.1") == Network(64501)


def test_wrong_kinds_and_numbers_of_files_are_refused(tmp_path: Path) -> None:
    table = tmp_path / "t"
    table.write_text("192.0.2.0/24,64500\n")
    with pytest.raises(Invalid, match="no kind"):
        add(tmp_path, "moon", [table], "x", "x")
    with pytest.raises(Invalid, match="one file"):
        add(tmp_path, "asn", [table, table], "x", "x")
    with pytest.raises(Invalid, match="no kind"):
        update(tmp_path, "../x", "http://127.0.0.1:1/", "x")


def test_a_damaged_description_says_how_to_get_rid_of_it(tmp_path: Path) -> None:
    (tmp_path / "asn.json").write_text(json.dumps({"kind": "asn"}))
    with pytest.raises(SourceError, match="databases remove asn"):
        installed(tmp_path)


def test_every_published_source_has_a_licence_and_a_secure_address() -> None:
    assert {each.kind for each in SOURCES} == {"asn", "city"}
    for each in SOURCES:
        assert each.url.startswith("https://")
        assert each.licence
        assert source(each.name) == each
    with pytest.raises(Invalid, match="PeeringDB"):
        source("ixp")
    with pytest.raises(Invalid, match="Known:"):
        source("moon")


def test_the_folder_follows_xdg(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", "/data")
    assert default_folder() == Path("/data/nettrace/databases")
    monkeypatch.delenv("XDG_DATA_HOME")
    monkeypatch.setenv("HOME", "/home/x")
    assert default_folder() == Path("/home/x/.local/share/nettrace/databases")
