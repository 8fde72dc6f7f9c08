"""`nettrace trace`: the path to each target, hop by hop."""

from collections.abc import Sequence

import click

from nettrace.cli.number import packets_a_second, seconds_between, seconds_to_wait
from nettrace.cli.output import output_options
from nettrace.cli.target import target_options


@click.command("trace")
@target_options
@click.option("--method", type=click.Choice(["icmp", "udp", "tcp"]), default="udp", show_default=True)
@click.option("--port", type=click.IntRange(1, 65535), help="Port for udp (33434) and tcp (443).")
@click.option(
    "--flow",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Which flow of the target; 0 never changes.",
)
@click.option(
    "--max-ttl", type=click.IntRange(1, 255), default=32, show_default=True, help="Furthest hop asked."
)
@click.option(
    "-q", "--probes", type=click.IntRange(1, 10), default=1, show_default=True, help="Probes per hop."
)
@click.option(
    "--rate",
    type=packets_a_second(),
    default=1000.0,
    show_default=True,
    help="Most packets a second, all targets together.",
)
@click.option(
    "--timeout",
    type=seconds_to_wait(),
    default=1.0,
    show_default=True,
    help="Seconds to wait for each answer.",
)
@click.option(
    "--multipath", is_flag=True, help="Find the load-balanced hops too, with the confidence reached."
)
@click.option("--watch", is_flag=True, help="Trace again and again on a live screen (q ends it).")
@click.option(
    "-i",
    "--interval",
    type=seconds_between(),
    default=1.0,
    show_default=True,
    help="Seconds between traces of --watch.",
)
@click.option(
    "--from",
    "here",
    metavar="PLACE",
    envvar="NETTRACE_PLACE",
    help="Where this machine stands: for floors and stretch.",
)
@click.option("--to", "there", metavar="PLACE", help="Where the target stands.")
@click.option(
    "--names/--no-names", default=None, help="Look up the hops' reverse names. Default: only for a table."
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
    multipath: bool,
    watch: bool,
    interval: float,
    here: str | None,
    there: str | None,
    names: bool | None,
    no_raw: bool,
    output: str | None,
    fail_if: str | None,
) -> None:
    """The path to each HOST, every probe of one flow (Paris traceroute), several hops asked at once.

    A hop that answered from several addresses lists them in `also`; one that stayed silent has none. Loss at a hop
    is not loss of the path: routers answer when they like; judge by the last hop.
    """
    import msgspec

    from nettrace.cli.family import resolved_targets
    from nettrace.cli.interrupt import patient_interrupts
    from nettrace.cli.naming import Annotator, place_named
    from nettrace.cli.report import Report
    from nettrace.cli.target import hosts_of
    from nettrace.cli.view import TraceView
    from nettrace.measure.probing import path
    from nettrace.measure.probing.ping import Driving
    from nettrace.measure.tracing.multipath import MultipathOptions
    from nettrace.measure.tracing.trace import TraceOptions
    from nettrace.model.instant import NS_PER_S
    from nettrace.model.measurement import Method
    from nettrace.model.path import StopReason, Trace

    options = TraceOptions(
        method=Method(method),
        port=port,
        flow_number=flow,
        probes_per_hop=probes,
        timeout_ns=int(timeout * NS_PER_S),
        max_ttl=max_ttl,
    )
    driving = Driving(rate_pps=rate, raw=not no_raw)
    origin, destination = place_named(here), place_named(there)
    if watch:
        from nettrace.cli.screen import watch_path

        watch_path(list(hosts_of(hosts, file)), family, options, driving, interval, origin, destination)
        return
    with Report(output, TraceView(), fail_if) as report:
        annotator = Annotator(
            names=report.form == "table" if names is None else names, origin=origin, destination=destination
        )
        known = resolved_targets(hosts_of(hosts, file), family)
        for problem in known.problems:
            nothing = Trace(
                **problem, method=options.method, flow=flow, port=port, reached=False, stop=StopReason.ABORTED
            )
            report.add(annotator.document(nothing))
        with patient_interrupts() as stop:
            driving = msgspec.structs.replace(driving, stop=stop)
            if multipath:
                results = path.multipath(known.targets, MultipathOptions(trace=options), driving=driving)
            else:
                results = path.trace(known.targets, options, driving=driving)
            for result in results:
                report.add(annotator.document(known.completed(result)))
