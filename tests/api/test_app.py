"""The application as it is put together."""

from typing import Any, cast

from tests.api.conftest import one_app


def test_it_brings_no_plugins_for_what_nobody_uses() -> None:
    app = cast(Any, one_app())._app
    plugins = " ".join(type(each).__module__ for each in app.plugins)
    assert "msgspec" in plugins
    assert "pydantic" not in plugins
    assert "attrs" not in plugins
