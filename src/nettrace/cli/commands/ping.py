"""`nettrace ping`: round trips to many targets as distributions."""

from collections.abc import Sequence

import click

from nettrace.cli.number import interval_option, packets_a_second, timeout_option
from nettrace.cli.output import output_options
from nettrace.cli.target import target_options


@click.command("ping")
@target_options
@click.option(
    "-n", "--count", type=click.IntRange(1), default=10, show_default=True, help="Probes per target."
)
@interval_option
@click.option(
    "--method", type=click.Choice(["icmp", "tcp", "udp"]), help="Default: icmp where permitted, else tcp."
)
@click.option("--port", type=click.IntRange(1, 65535), help="Port for tcp (443) and udp (33434).")
@click.option(
    "--rate",
    type=packets_a_second(),
    default=1000.0,
    show_default=True,
    help="Most packets a second, all targets together.",
)
@timeout_option
@click.option("--no-raw", is_flag=True, help="Leave raw sockets alone even where they are permitted.")
@output_options
def command(
    hosts: Sequence[str],
    file: str | None,
    family: int | None,
    count: int,
    interval: float,
    method: str | None,
    port: int | None,
    rate: float,
    timeout: float,
    no_raw: bool,
    output: str | None,
    fail_if: str | None,
) -> None:
    """Round-trip times to each HOST: a distribution with error bars, stamped by the kernel.

    A probe counts as lost only when it was seen to leave, waited for in full, and this host was awake meanwhile.
    """
    from nettrace.cli.family import resolved_targets
    from nettrace.cli.interrupt import patient_interrupts
    from nettrace.cli.report import Report
    from nettrace.cli.target import hosts_of
    from nettrace.cli.view import PingView
    from nettrace.measure.probing.ping import Driving, ping
    from nettrace.measure.tracing.ping import PingOptions
    from nettrace.model.instant import NS_PER_S
    from nettrace.model.measurement import Method, Ping

    options = PingOptions(
        method=Method(method or "icmp"),
        port=port,
        count=count,
        interval_ns=int(interval * NS_PER_S),
        timeout_ns=int(timeout * NS_PER_S),
    )
    with Report(output, PingView(), fail_if) as report:
        known = resolved_targets(hosts_of(hosts, file), family)
        for problem in known.problems:
            report.add(Ping(**problem, method=options.method, port=port))
        with patient_interrupts() as stop:
            driving = Driving(rate_pps=rate, raw=not no_raw, stop=stop)
            for result in ping(known.targets, options, automatic=method is None, driving=driving):
                report.add(known.completed(result))
