"""The documentation is executed: every operation's example works, and answers in the shape the document promises."""

import csv
import io
from typing import Any

import jsonschema_rs
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq
import pytest
from tests.api.conftest import NOW, Hub

from nettrace.api.openapi import document
from nettrace.api.operation import Operation
from nettrace.api.table import OPERATIONS
from nettrace.hub.keys import digest
from nettrace.model.alert import AlertStep, Incident
from nettrace.model.signal import Severity

DOCUMENT = document(OPERATIONS)
TABLES = [operation for operation in OPERATIONS if operation.table]


async def filled_in(hub: Hub, operation: Operation, headers: dict[str, str]) -> str:
    """The example with ids of things that exist."""
    path = operation.example
    if "{round}" in path:
        page = await hub.json("/api/v1/rounds?limit=1", headers=headers)
        path = path.replace("{round}", page["data"][0]["id"])
    if "{event}" in path:
        page = await hub.json("/api/v1/events?limit=1", headers=headers)
        path = path.replace("{event}", page["data"][0]["id"])
    if "{custom}" in path:
        made = await hub.post("/api/v1/targets/custom", {"host": "mine.example.net"}, headers=headers)
        path = path.replace("{custom}", made.json().get("host", "mine.example.net"))
    for kind in ("rule", "channel", "silence"):
        if f"{{{kind}}}" in path:
            body = next(
                each.example_body
                for each in OPERATIONS
                if each.path == f"/api/v1/alerts/{kind}s" and each.body
            )
            made = await hub.post(f"/api/v1/alerts/{kind}s", body, headers=headers)
            assert made.status_code == 201, made.text
            path = path.replace(f"{{{kind}}}", made.json().get("id") or made.json()["name"])
    if "{incident}" in path:
        key = headers["Authorization"].removeprefix("Bearer ")
        with hub.reading() as reader:
            account = reader.key(digest(key)).account  # type: ignore[union-attr]
        hub.store.put_alerts(AlertStep(incidents=(an_incident(account),)))
        path = path.replace("{incident}", an_incident(account).id)
    if "{measurement}" in path:
        made = await hub.post("/api/v1/measurements", {"target": "api.example.com"}, headers=headers)
        path = path.replace("{measurement}", made.json()["id"])
    if "{key}" in path:
        made = await hub.post("/api/v1/keys", {}, headers=headers)
        path = path.replace("{key}", made.json()["id"])
    if "{export}" in path:
        body = next(each.example_body for each in OPERATIONS if each.id == "createExport")
        made = await hub.post("/api/v1/exports", body, headers=headers)
        hub.work_off()
        found = await hub.json(f"/api/v1/exports/{made.json()['id']}", headers=headers)
        path = path.replace("{export}", found["id"]).replace("{file}", found["files"][0]["name"])
    return path


def an_incident(account: str | None) -> Incident:
    """An incident that an account's rule has opened."""
    return Incident(
        id=f"inc_{account}", cause="target:api.example.com", severity=Severity.WARNING, rules=("slow",),
        targets=("api.example.com",), vantages=("nyc",), since=NOW - 10**11, opened_at=NOW - 10**10, account=account,
    )  # fmt: skip


def validate(operation: Operation, status: int, body: Any) -> None:
    answers = DOCUMENT["paths"][operation.path][operation.method.lower()]["responses"]
    schema = {
        **answers[str(status)]["content"]["application/json"]["schema"],
        "components": DOCUMENT["components"],
    }
    jsonschema_rs.Draft202012Validator(schema).validate(body)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.id)
async def test_an_operations_example_answers_as_documented(hub: Hub, operation: Operation) -> None:
    headers = hub.key("enterprise_pro")
    path = await filled_in(hub, operation, headers)
    answer = await hub.client.request(operation.method, path, json=operation.example_body, headers=headers)
    assert answer.status_code == operation.status, answer.text
    assert answer.headers["content-type"].startswith(
        operation.media_type if operation.id != "downloadExportFile" else "text/csv"
    )
    if operation.answer is not None:
        validate(operation, answer.status_code, answer.json())


@pytest.mark.parametrize("operation", TABLES, ids=lambda operation: operation.id)
async def test_a_table_says_the_same_in_every_format(hub: Hub, operation: Operation) -> None:
    headers = hub.key("enterprise_pro")
    if operation.id == "listMeasurements":
        await hub.post("/api/v1/measurements", {"target": "api.example.com"}, headers=headers)
    if operation.id == "listExports":
        await filled_in(hub, next(each for each in OPERATIONS if each.id == "getExport"), headers)
    path = operation.example
    rows = (await hub.json(path, headers=headers))["data"]
    assert rows, "an example must show something"

    def asking(accept: str) -> dict[str, str]:
        return {**headers, "Accept": accept}

    as_csv = await hub.get(path, headers=asking("text/csv"))
    as_parquet = await hub.get(path, headers=asking("application/vnd.apache.parquet"))
    as_arrow = await hub.get(
        path, headers=asking("application/vnd.apache.arrow.stream;q=0.9, text/html;q=0.1")
    )
    as_lines = await hub.get(path, params={"format": "ndjson"} | dict(_query(path)), headers=headers)
    lines = list(csv.DictReader(io.StringIO(as_csv.text)))
    parquet = pq.read_table(io.BytesIO(as_parquet.content))
    arrow = pa.ipc.open_stream(as_arrow.content).read_all()
    assert len(lines) == parquet.num_rows == arrow.num_rows == len(as_lines.text.splitlines()) == len(rows)
    assert list(lines[0]) == parquet.column_names == arrow.column_names
    first = next(name for name in ("host", "id", "code", "region", "kind") if name in rows[0])
    assert [str(row[first]) for row in rows] == [line[first] for line in lines]
    assert parquet.column(first).to_pylist() == [row[first] for row in rows]
    for name in parquet.column_names:
        if name.endswith("_ms"):
            assert parquet.schema.field(name).metadata == {b"unit": b"ms"}


def _query(path: str) -> list[tuple[str, str]]:
    _, _, query = path.partition("?")
    return [(part.partition("=")[0], part.partition("=")[2]) for part in query.split("&") if part]


async def test_every_route_of_the_application_is_in_the_document(hub: Hub) -> None:
    served = await hub.json("/openapi.json")
    assert served["openapi"] == "3.1.0"
    listed = {(method.upper(), path) for path, methods in served["paths"].items() for method in methods}
    assert listed == {(operation.method, operation.path) for operation in OPERATIONS}


async def test_the_pages_ask_no_third_party(hub: Hub) -> None:
    for path in ("/docs", "/problems/not-found"):
        page = await hub.get(path)
        assert page.headers["content-security-policy"].startswith("default-src 'none'")
        for needle in ("http://", "https://", "<script", "@import", "url("):
            assert needle not in page.text.replace(
                "https://alerts.example.net/nettrace", ""
            )  # an example's value
    text = (await hub.get("/llms.txt")).text
    assert all(f"{operation.method} {operation.path}" in text for operation in OPERATIONS)
