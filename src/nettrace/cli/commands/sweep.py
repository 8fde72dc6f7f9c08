"""`nettrace sweep`: thousands of traces at a set packet rate. Nothing is imported here that a sweep does not need."""

import sys
from collections.abc import Sequence

import click

from nettrace.cli.number import Finite
from nettrace.cli.output import output_options, write_lines
from nettrace.cli.target import hosts_of, target_options


@click.command("sweep")
@target_options
@click.option("--method", type=click.Choice(["icmp", "udp", "tcp"]), default="udp", show_default=True)
@click.option("--port", type=click.IntRange(1, 65535), help="Port for udp (33434) and tcp (443).")
@click.option(
    "--flow",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Which flow of each target; 0 never changes.",
)
@click.option(
    "--max-ttl", type=click.IntRange(1, 64), default=32, show_default=True, help="Furthest hop asked."
)
@click.option(
    "-q", "--probes", type=click.IntRange(1, 10), default=1, show_default=True, help="Probes per hop."
)
@click.option(
    "--rate",
    type=Finite(0.1, 10_000_000),
    default=1000.0,
    show_default=True,
    help="Most packets a second.",
)
@click.option(
    "--timeout",
    type=Finite(0.05, 60),
    default=1.0,
    show_default=True,
    help="Seconds to wait for each answer.",
)
@click.option(
    "--patience",
    type=Finite(0, 3600),
    default=55.0,
    show_default=True,
    help="Most seconds a target waits for routers that limit their answers.",
)
@click.option("--no-raw", is_flag=True, help="Leave raw sockets alone even where they are permitted.")
@output_options
def command(
    hosts: Sequence[str],
    file: str | None,
    family: int | None,
    method: str,
    port: int | None,
    flow: int,
    max_ttl: int,
    probes: int,
    rate: float,
    timeout: float,
    patience: float,
    no_raw: bool,
    output: str | None,
    fail_if: str | None,
) -> None:
    """The path to each HOST, thousands at once, each written as it finishes.

    The rate is never exceeded, targets and hops are asked in random order, and a router that limits its answers is
    asked no faster than it answers: what other flows prove for it is marked `inferred`.
    """
    from nettrace.measure.kernel.raw_sockets import raw_permitted
    from nettrace.measure.sweeping.sweep import SweepRequest, sweep, sweep_ndjson
    from nettrace.model.measurement import Method

    request = SweepRequest(
        method=Method(method),
        port=port,
        flow=flow,
        max_ttl=max_ttl,
        probes_per_hop=probes,
        rate_pps=rate,
        timeout_s=timeout,
        patience_s=patience,
        raw=not no_raw,
        version=family,
    )
    targets = hosts_of(hosts, file)
    if not raw_permitted():
        from nettrace.cli.output import note
        from nettrace.measure.probing.remedy import allow_raw

        note(f"nettrace: this user may not open raw sockets: traced one socket a flow. Faster: {allow_raw()}")
    if (output or ("table" if sys.stdout.isatty() else "ndjson")) != "ndjson" or fail_if:
        from nettrace.cli.report import Report
        from nettrace.cli.view import TraceView

        with Report(output, TraceView(), fail_if) as report:
            report.add_all(sweep(targets, request))
    else:
        tally = sweep_ndjson(targets, request, write_lines)
        raise click.exceptions.Exit(_exit_code(tally.measured, tally.failed, tally.not_measured))


def _exit_code(measured: int, failed: int, not_measured: int) -> int:
    from nettrace.cli.exits import FAILED, NOTHING_MEASURED, OK, SOME_FAILED

    if measured:
        return SOME_FAILED if failed or not_measured else OK
    return FAILED if failed else NOTHING_MEASURED
