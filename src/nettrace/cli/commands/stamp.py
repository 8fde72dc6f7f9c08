"""`nettrace stamp`: both ways of a path by themselves, and the reflector that answers such tests."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nettrace.cli.number import interval_option, timeout_option
from nettrace.cli.output import output_options
from nettrace.cli.target import target_options

if TYPE_CHECKING:
    from nettrace.measure.probing.stamp_socket import Clockwork

LEAST_KEY_BYTES = 16


@click.command("stamp")
@target_options
@click.option("--reflect", is_flag=True, help="Answer the tests of others instead, until Ctrl-C.")
@click.option(
    "--peer", "peers", metavar="NETWORK", multiple=True,
    help="With --reflect: who is answered, such as 192.0.2.7 or 10.0.0.0/8; repeatable. Needed without a key.",
)  # fmt: skip
@click.option("--listen", metavar="ADDRESS", multiple=True, help="With --reflect: where; default everywhere.")
@click.option(
    "--port", type=click.IntRange(1, 65535), default=862, show_default=True, help="UDP port of the reflector."
)
@click.option(
    "--key-file", metavar="FILE", type=click.Path(exists=True, dir_okay=False),
    help="Seal every packet with this file's key (HMAC-SHA-256), at both ends the same; without it packets are open.",
)  # fmt: skip
@click.option(
    "-n", "--count", type=click.IntRange(1, 10_000), default=10, show_default=True, help="Probes per target."
)
@interval_option
@timeout_option
@click.option(
    "--clock-error", type=click.FloatRange(0), metavar="MS",
    help="This clock's largest error against UTC, where the kernel does not know it (PTP, GPS).",
)  # fmt: skip
@click.option(
    "--clock-offset", type=float, metavar="MS", help="Known error of this clock, to be added to its readings."
)
@output_options
def command(
    hosts: Sequence[str],
    file: str | None,
    family: int | None,
    reflect: bool,
    peers: Sequence[str],
    listen: Sequence[str],
    port: int,
    key_file: str | None,
    count: int,
    interval: float,
    timeout: float,
    clock_error: float | None,
    clock_offset: float | None,
    output: str | None,
    fail_if: str | None,
) -> None:
    """Round trip, both one-way delays, loss and order per direction to each HOST that runs a STAMP reflector (RFC 8762).

    One-way delays come with the error bound of both clocks; where that says nothing they are "not resolvable".
    """
    from nettrace.errors import Invalid

    key = _key(key_file)
    wall = _wall(clock_error, clock_offset)
    if reflect:
        if hosts or file:
            raise Invalid("--reflect takes no HOST", "Name who is answered with --peer")
        asyncio.run(_reflect(peers, listen, port, key, wall))
        return
    if peers or listen:
        raise Invalid("--peer and --listen are for --reflect")
    from nettrace.cli.family import resolved_targets
    from nettrace.cli.report import Report
    from nettrace.cli.stamp_view import StampView
    from nettrace.cli.target import hosts_of
    from nettrace.measure.probing.stamp_sender import Session
    from nettrace.measure.tracing.stamp import StampOptions
    from nettrace.model.instant import NS_PER_S
    from nettrace.model.measurement import StampTest

    options = StampOptions(
        count=count, interval_ns=int(interval * NS_PER_S), timeout_ns=int(timeout * NS_PER_S)
    )
    with Report(output, StampView(), fail_if) as report:
        known = resolved_targets(hosts_of(hosts, file), family)
        for problem in known.problems:
            report.add(StampTest(**problem, port=port))
        for target in known.targets:
            session = Session((target.host, target.address, port), options, key=key, wall=wall)
            try:
                report.add(known.completed(asyncio.run(session.run())))
            except KeyboardInterrupt:
                report.add(known.completed(session.result()))
                raise


async def _reflect(
    peers: Sequence[str], listen: Sequence[str], port: int, key: bytes | None, wall: "Clockwork"
) -> None:
    from nettrace.cli.output import note
    from nettrace.measure.probing.stamp_reflector import EVERYWHERE, Reflector
    from nettrace.measure.tracing.reflection import Peer

    peer = Peer(name="--peer", key=key, networks=tuple(peers))
    reflector = Reflector([peer], port=port, addresses=tuple(listen) or EVERYWHERE, wall=wall)
    reflector.start()
    whom = ", ".join(peers) or "whoever has the key"
    note(f"nettrace: answering {whom} on UDP port {reflector.port}; Ctrl-C ends")
    try:
        await asyncio.Event().wait()
    finally:
        reflector.close()
        told = ", ".join(f"{count} {why}" for why, count in reflector.reflection.counts.items())
        note(f"nettrace: {told or 'nobody asked'}")


def _key(path: str | None) -> bytes | None:
    """The key in a file, without the white space around it.

    Raises:
        Invalid: it is too short to keep anybody out.
    """
    if path is None:
        return None
    from nettrace.errors import Invalid

    key = Path(path).read_bytes().strip()
    if len(key) < LEAST_KEY_BYTES:
        raise Invalid(
            f"the key in {path} has {len(key)} octets", f"At least {LEAST_KEY_BYTES}: openssl rand -hex 32"
        )
    return key


def _wall(error_ms: float | None, offset_ms: float | None) -> "Clockwork":
    """The clock as the kernel knows it, or as the operator says."""
    from nettrace.measure.probing.stamp_socket import Wall, kernel_wall
    from nettrace.model.instant import NS_PER_MS

    if error_ms is None and offset_ms is None:
        return kernel_wall
    offset_ns = int((offset_ms or 0.0) * NS_PER_MS)

    def told() -> Wall:
        error_ns = kernel_wall().error_ns if error_ms is None else int(error_ms * NS_PER_MS)
        return Wall(offset_ns=offset_ns, error_ns=error_ns)

    return told
