"""The playground's demo data is what the API answers: one entry an operation, each in the documented shape."""

import json
from importlib.resources import files

import jsonschema_rs
import pytest

from nettrace.api.openapi import document
from nettrace.api.table import OPERATIONS

DEMO = json.loads(files("nettrace.web").joinpath("static", "demo.json").read_text(encoding="utf-8"))
DOCUMENT = document(OPERATIONS)
FREE = {"openapi", "docs", "llms", "problem", "downloadExportFile"}


def test_every_operation_that_wants_a_key_has_an_answer() -> None:
    assert set(DEMO) == {operation.id for operation in OPERATIONS} - FREE


@pytest.mark.parametrize(
    "operation", [each for each in OPERATIONS if each.id in DEMO and each.answer], ids=lambda each: each.id
)
def test_a_recorded_answer_has_the_documented_shape(operation) -> None:
    recorded = DEMO[operation.id]
    responses = DOCUMENT["paths"][operation.path][operation.method.lower()]["responses"]
    schema = responses[str(recorded["status"])]["content"]["application/json"]["schema"]
    jsonschema_rs.Draft202012Validator({**schema, "components": DOCUMENT["components"]}).validate(
        recorded["body"]
    )


def test_no_recorded_answer_holds_a_key() -> None:
    assert "nt_live_..." in json.dumps(DEMO)
    assert not [
        word
        for word in json.dumps(DEMO).split('"')
        if word.startswith(("nt_live_", "nt_test_")) and not word.endswith("...")
    ]
