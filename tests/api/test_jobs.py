"""What is asked for and done later: measurements, exports, keys. Asked twice by mistake, it is done once."""

import hashlib
import io
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from tests.api.conftest import NOW, Hub, ping

from nettrace.hub import export
from nettrace.model.instant import NS_PER_S
from nettrace.store.rows import ExportState

EXPORT = {
    "start": "2026-11-20T10:30:00Z",
    "end": "2026-11-20T11:30:00Z",
    "hosts": ["api.example.com"],
    "methods": ["tcp"],
}


async def test_a_measurement_shows_results_as_they_come(hub: Hub) -> None:
    made = await hub.post(
        "/api/v1/measurements", {"target": "api.example.com", "regions": ["nyc", "sin"], "probes": 3}
    )
    assert made.status_code == 202
    where = made.headers["location"]
    assert (await hub.json(where))["results"] == []
    due = NOW - NS_PER_S
    hub.report(
        "nyc", [(due, "api.example.com", ping("api.example.com", 7.0, due))], request=made.json()["id"]
    )
    found = await hub.json(where)
    assert [(row["region"], row["rtt_ms"], row["request"]) for row in found["results"]] == [
        ("nyc", 7.02, found["id"])
    ]
    assert found["regions"] == ["nyc", "sin"]


async def test_a_dry_run_says_the_cost_and_does_nothing(hub: Hub) -> None:
    body = {"target": "api.example.com", "regions": ["nyc", "sin"], "probes": 4}
    answer = await hub.post("/api/v1/measurements?dry_run=1", body)
    assert (answer.status_code, answer.json()["probes"], answer.json()["calls"]) == (200, 8, 1)
    assert (await hub.json("/api/v1/measurements"))["data"] == []
    answer = await hub.post("/api/v1/exports?dry_run=1", EXPORT)
    assert answer.json()["rows"] == pytest.approx(
        170, abs=30
    )  # 60 rounds from two vantages, 50 from the third
    assert (await hub.json("/api/v1/exports"))["data"] == []
    assert (await hub.post("/api/v1/exports?dry_run=maybe", EXPORT)).status_code == 400


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"target": "10.0.0.1"}, 404),  # nobody's machine is measured because somebody typed its address
        ({"target": "localhost"}, 404),
        ({"target": "gone.example.com"}, 409),
        ({"target": "api.example.com", "regions": ["mars"]}, 400),
        ({"target": "api.example.com", "regions": []}, 400),
        ({"target": "api.example.com", "probes": 1000}, 400),
        ({"target": "api.example.com", "method": "http"}, 409),
        ({"target": "api.example.com", "endpoint": "none"}, 400),
        ({"target": "api.example.com", "prbes": 3}, 400),
        ({"regions": ["nyc"]}, 400),
        ([], 400),
    ],
)  # fmt: skip
async def test_what_cannot_be_measured_is_refused(hub: Hub, body: object, status: int) -> None:
    answer = await hub.post("/api/v1/measurements", body)
    assert answer.status_code == status, answer.text
    assert answer.json()["status"] == status


@pytest.mark.parametrize(("path", "body", "other"), [
    ("/api/v1/measurements", {"target": "api.example.com"}, {"target": "b.example.com"}),
    ("/api/v1/exports", EXPORT, {**EXPORT, "format": "csv"}),
])  # fmt: skip
async def test_an_idempotency_key_makes_one_thing(hub: Hub, path: str, body: object, other: object) -> None:
    key = {"Idempotency-Key": "once"}
    first, second = await hub.post(path, body, headers=key), await hub.post(path, body, headers=key)
    assert first.status_code == second.status_code == 202
    assert first.json() == second.json()
    mismatch = await hub.post(path, other, headers=key)
    assert (mismatch.status_code, mismatch.json()["code"]) == (422, "idempotency-mismatch")
    assert len((await hub.json(path))["data"]) == 1
    assert (await hub.post(path, body, headers={"Idempotency-Key": "x" * 256})).status_code == 400


@pytest.mark.parametrize("form", export.FORMS)
async def test_an_export_has_every_round_once_and_says_so(hub: Hub, form: str) -> None:
    made = (await hub.post("/api/v1/exports", {**EXPORT, "format": form})).json()
    assert made["state"] == "queued"
    hub.work_off()
    done = await hub.json(f"/api/v1/exports/{made['id']}")
    assert done["state"] == "done"
    (file,) = done["files"]
    content = (await hub.get(file["url"])).content
    assert (len(content), hashlib.sha256(content).hexdigest()) == (file["bytes"], file["sha256"])
    whole = await hub.json(
        "/api/v1/rounds?host=api.example.com&method=tcp&limit=1000&start=2026-11-20T10:30:00Z&end=2026-11-20T11:30:00Z"
    )
    assert file["rows"] == len(whole["data"])
    if form == "parquet":
        table = pq.read_table(io.BytesIO(content))
        assert sorted(table.column("id").to_pylist()) == sorted(row["id"] for row in whole["data"])
        assert table.schema.field("rtt_ns").type == "int64"
    if form == "csv":
        assert content.splitlines()[0].startswith(b'"id","target","vantage"')


async def test_an_export_is_cut_at_midnight(hub: Hub) -> None:
    midnight = NOW - 12 * 3600 * NS_PER_S
    rounds = [
        (midnight + at * NS_PER_S, "api.example.com", ping("api.example.com", 7.0, midnight))
        for at in (-60, -1, 0, 60)
    ]
    hub.report("nyc", rounds)
    made = await hub.post(
        "/api/v1/exports", {**EXPORT, "start": "2026-11-19T00:00:00Z", "end": "2026-11-20T01:00:00Z"}
    )
    hub.work_off()
    files = (await hub.json(made.headers["location"]))["files"]
    assert [(file["name"], file["rows"]) for file in files] == [
        ("nettrace-2026-11-19.parquet", 2), ("nettrace-2026-11-20.parquet", 2),
    ]  # fmt: skip


async def test_files_are_given_in_ranges(hub: Hub) -> None:
    made = await hub.post("/api/v1/exports", {**EXPORT, "format": "csv"})
    hub.work_off()
    (file,) = (await hub.json(made.headers["location"]))["files"]
    whole = await hub.get(file["url"])
    assert whole.headers["accept-ranges"] == "bytes"
    for asked, start, end in (("0-9", 0, 10), ("10-", 10, None), ("-7", -7, None), ("5-99999999", 5, None)):
        part = await hub.get(file["url"], headers={"Range": f"bytes={asked}"})
        assert (part.status_code, part.content) == (206, whole.content[start:end])
    outside = await hub.get(file["url"], headers={"Range": "bytes=99999999-"})
    assert (outside.status_code, outside.headers["content-range"]) == (416, f"bytes */{file['bytes']}")
    again = await hub.get(file["url"], headers={"If-None-Match": whole.headers["etag"]})
    assert again.status_code == 304
    stale = await hub.get(file["url"], headers={"Range": "bytes=0-9", "If-Range": '"other"'})
    assert stale.status_code == 200
    assert (await hub.get(file["url"] + "/../../../hub.sqlite")).status_code == 404
    assert (
        await hub.get(f"/api/v1/exports/{made.json()['id']}/files/..%2F..%2Fhub.sqlite")
    ).status_code == 404


async def test_an_export_that_fails_says_why_and_leaves_nothing(hub: Hub) -> None:
    made = (await hub.post("/api/v1/exports", EXPORT)).json()
    (hub.data.exports / made["id"]).write_text("in the way")
    hub.work_off()
    found = await hub.json(f"/api/v1/exports/{made['id']}")
    assert found["state"] == "failed"
    assert "exists" in found["problem"].lower()
    assert found["files"] == []


def test_the_exporting_process_works_off_the_queue_once_and_forgets_old_files(
    filled: Path, tmp_path: Path
) -> None:
    hub = Hub(shutil.copytree(filled, tmp_path / "hub"))
    made = export.Export(
        id="exp_1", account="self", targets=("api.example.com",), vantages=(), methods=(), form="ndjson",
        window=export.Window(NOW - 3600 * NS_PER_S, NOW), created_at=NOW,
    )  # fmt: skip
    hub.store.put_export(made)
    hub.store.close()
    assert export.work(hub.data, lambda: NOW) == 1
    assert export.work(hub.data, lambda: NOW) == 0
    folder = hub.data.exports / "exp_1"
    assert sorted(path.name for path in folder.iterdir()) == ["manifest.json", "nettrace-2026-11-20.ndjson"]
    assert export.work(hub.data, lambda: NOW + export.KEPT_NS + 1) == 1
    assert not folder.exists()
    with hub.reading() as reader:
        assert [each.state for each in reader.exports()] == [ExportState.EXPIRED]


async def test_a_key_is_shown_once_and_dead_when_revoked(hub: Hub) -> None:
    owner = hub.key("pro", "acme")
    made = await hub.post("/api/v1/keys", {"name": "ci", "scopes": ["read"]}, headers=owner)
    assert made.status_code == 201
    secret = {"Authorization": f"Bearer {made.json()['key']}"}
    assert (await hub.get("/api/v1/targets", headers=secret)).status_code == 200
    listed = await hub.get("/api/v1/keys", headers=owner)
    assert made.json()["key"] not in listed.text
    assert made.json()["id"] in listed.text
    assert (await hub.client.delete(made.headers["location"], headers=owner)).status_code == 200
    assert (await hub.get("/api/v1/targets", headers=secret)).status_code == 401
    with hub.reading() as reader:
        assert {line.action for line in reader.audit()} == {"key.create", "key.revoke"}


async def test_a_key_cannot_make_a_wider_one(hub: Hub) -> None:
    poor = hub.key("pro", "acme", scopes=frozenset({"keys", "read"}))
    assert (await hub.post("/api/v1/keys", {"scopes": ["read", "fleet"]}, headers=poor)).status_code == 403
    assert (await hub.post("/api/v1/keys", {"scopes": ["root"]}, headers=poor)).status_code == 400
    assert (await hub.post("/api/v1/keys", {"tier": "government"}, headers=poor)).status_code == 400
    made = await hub.post("/api/v1/keys", {}, headers=poor)
    assert made.json()["tier"] == "pro"


async def test_a_test_key_makes_test_keys_only(hub: Hub) -> None:
    tester = hub.key("pro", "acme", live=False)
    made = await hub.post("/api/v1/keys", {}, headers=tester)
    assert made.json()["key"].startswith("nt_test_")
