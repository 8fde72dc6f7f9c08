"""`nettrace dns`: one question to one resolver, timed by the kernel."""

import asyncio
from collections.abc import Sequence

import click

from nettrace.cli.number import seconds_between, seconds_to_wait
from nettrace.cli.output import output_options


@click.command("dns")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.option(
    "--server", metavar="IP", multiple=True, help="Ask this server; repeatable. Default: the system's first."
)
@click.option(
    "--type", "question_type", default="A", show_default=True, help="A, AAAA, TXT, PTR ... or TYPE65."
)
@click.option(
    "--port", type=click.IntRange(1, 65535), default=53, show_default=True, help="The server's port."
)
@click.option("--nsid", is_flag=True, help="Also ask which machine of an anycast server answers.")
@click.option(
    "-n",
    "--count",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Questions per name and server.",
)
@click.option(
    "-i", "--interval", type=seconds_between(), default=0.2, show_default=True, help="Seconds between them."
)
@click.option(
    "--timeout",
    type=seconds_to_wait(),
    default=5.0,
    show_default=True,
    help="Seconds per question.",
)
@output_options
def command(
    names: Sequence[str],
    server: Sequence[str],
    question_type: str,
    port: int,
    nsid: bool,
    count: int,
    interval: float,
    timeout: float,
    output: str | None,
    fail_if: str | None,
) -> None:
    """Ask each NAME of a resolver: round trip, response code and answers.

    A response code other than NOERROR is `failed: dns`; its round trip is shown all the same.
    """
    from nettrace.cli.report import Report
    from nettrace.cli.view import DnsView
    from nettrace.measure.streams.dns import lookup

    async def run(report: Report) -> None:
        questions = ((name, each) for name in names for each in (server or (None,)) for _ in range(count))
        for number, (name, each) in enumerate(questions):
            if number:
                await asyncio.sleep(interval)
            report.add(await lookup(name, each, question_type, timeout_s=timeout, port=port, nsid=nsid))

    with Report(output, DnsView(), fail_if) as report:
        asyncio.run(run(report))
