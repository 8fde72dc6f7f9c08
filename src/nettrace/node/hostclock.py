"""Whether the kernel calls this host's clock synchronised (adjtimex(2)), as its time daemon has told it."""

from nettrace.measure.kernel.discipline import discipline


def synchronised() -> bool | None:
    """True or False by the kernel's word; None where it cannot be asked."""
    known = discipline()
    return None if known is None else known.synchronised
