"""All operations, in the order of the documentation."""

from nettrace.api.doors import (
    account,
    alerts,
    claims,
    custom,
    documentation,
    events,
    exports,
    fleet,
    forecast,
    latency,
    measurements,
    placements,
    ranking,
    routes,
    system,
    targets,
)
from nettrace.api.operation import Operation

OPERATIONS: tuple[Operation, ...] = (
    *system.OPERATIONS,
    *targets.OPERATIONS,
    *custom.OPERATIONS,
    *latency.OPERATIONS,
    *forecast.OPERATIONS,
    *routes.OPERATIONS,
    *ranking.OPERATIONS,
    *events.OPERATIONS,
    *alerts.OPERATIONS,
    *measurements.OPERATIONS,
    *placements.OPERATIONS,
    *claims.OPERATIONS,
    *exports.OPERATIONS,
    *fleet.OPERATIONS,
    *account.OPERATIONS,
    *documentation.OPERATIONS,
)
