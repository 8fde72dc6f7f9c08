"""All operations, in the order of the documentation."""

from nettrace.api.doors import system, targets
from nettrace.api.operation import Operation

OPERATIONS: tuple[Operation, ...] = (
    *system.OPERATIONS,
    *targets.OPERATIONS,
)
