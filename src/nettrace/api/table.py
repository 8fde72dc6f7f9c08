"""All operations, in the order of the documentation."""

from nettrace.api.doors import (
    account,
    alerts,
    custom,
    documentation,
    events,
    exports,
    fleet,
    latency,
    measurements,
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
    *routes.OPERATIONS,
    *ranking.OPERATIONS,
    *events.OPERATIONS,
    *alerts.OPERATIONS,
    *measurements.OPERATIONS,
    *exports.OPERATIONS,
    *fleet.OPERATIONS,
    *account.OPERATIONS,
    *documentation.OPERATIONS,
)
