"""The HTTP application: every operation of the table, the doors other rooms bring, and the shield around them."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from litestar import Litestar, Request, Response
from litestar.datastructures import State
from litestar.exceptions import HTTPException
from litestar.handlers import HTTPRouteHandler
from litestar.plugins import PluginProtocol
from litestar.plugins.core import MsgspecDIPlugin
from litestar.types import ControllerRouterHandler

from nettrace.api.door import serve
from nettrace.api.operation import Operation
from nettrace.api.problems import answer_error
from nettrace.api.service import Service
from nettrace.api.shield import Shield
from nettrace.api.table import OPERATIONS


class _Application(Litestar):
    """Litestar without its plugins for pydantic and attrs, which nothing here uses: importing them is a seventh of a start."""

    @staticmethod
    def _get_default_plugins(plugins: list[PluginProtocol]) -> list[PluginProtocol]:
        return [*plugins, MsgspecDIPlugin()]


def make_app(
    service: Service,
    doors: Sequence[ControllerRouterHandler] = (),
    operations: Sequence[Operation] = OPERATIONS,
) -> Shield:
    """The application on a service; `doors` are handlers of nodes, streams and pages. It closes the service at its end.

    Handlers find the service as `request.app.state.service`.
    """
    service.operations = tuple(operations)

    @asynccontextmanager
    async def lifespan(_: Litestar) -> AsyncGenerator[None]:
        await service.start()
        try:
            yield
        finally:
            await service.stop()

    app = _Application(
        [*(_route(operation, service) for operation in operations), *doors],
        lifespan=[lifespan],
        openapi_config=None,
        debug=False,
        request_max_body_size=None,  # the shield's limit comes before
        state=State({"service": service}),
        exception_handlers={HTTPException: answer_error, Exception: answer_error},
        logging_config=None,
    )
    return Shield(app, hosts=service.public_hosts, any_host=not service.loopback)


def _route(operation: Operation, service: Service) -> HTTPRouteHandler:
    async def handler(request: Request[Any, Any, Any]) -> Response[Any]:
        return await serve(operation, service, request)

    handler.__name__ = operation.id
    path = operation.path.replace("}", ":str}")
    made = HTTPRouteHandler(
        path,
        http_method=operation.method,
        status_code=operation.status,
        name=operation.id,
        include_in_schema=False,
    )
    return made(handler)
