"""Requests as spans: around the whole application, only when traces are asked for."""

from typing import Any

from nettrace.runtime.telemetry import HEADER, Tracing

STREAMS = "/api/v1/stream"


class Traced:
    """An ASGI application, each of whose requests is a span that goes on from the caller's.

    Listeners' streams last for hours and are left out; a path is named by its first three parts, so that hosts in it do
    not make a name each.
    """

    def __init__(self, app: Any, tracing: Tracing) -> None:
        self._app = app
        self._tracing = tracing

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one connection."""
        if scope["type"] != "http" or scope["path"].startswith(STREAMS):
            await self._app(scope, receive, send)
            return
        parent = next(
            (value.decode("latin-1") for name, value in scope["headers"] if name == HEADER.encode()), ""
        )
        place = "/".join(scope["path"].split("/")[: 5 if "/nodes/" in scope["path"] else 4])
        with self._tracing.span(f"{scope['method']} {place}", "server", [parent]) as span:

            async def told(message: Any) -> None:
                if message["type"] == "http.response.start":
                    span.note(http__response__status_code=message["status"])
                await send(message)

            await self._app(scope, receive, told)
