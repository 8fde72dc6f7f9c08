"""`nettrace ws`: a WebSocket's stages and the round trips of its pings."""

import asyncio
from collections.abc import Sequence

import click

from nettrace.cli.number import seconds_between, seconds_to_wait
from nettrace.cli.output import output_options


@click.command("ws")
@click.argument("urls", nargs=-1, required=True, metavar="URL...")
@click.option(
    "-n", "--count", type=click.IntRange(1), default=5, show_default=True, help="Pings per connection."
)
@click.option(
    "-i",
    "--interval",
    type=seconds_between(),
    default=1.0,
    show_default=True,
    help="Seconds between pings.",
)
@click.option("--insecure", is_flag=True, help="Do not check the certificate.")
@click.option("--ca", metavar="FILE", help="Trust exactly the certificates in this PEM file.")
@click.option("--address", metavar="IP", help="Connect to this address instead of resolving the name.")
@click.option("-4", "family", flag_value=4, type=int, help="IPv4 only.")
@click.option("-6", "family", flag_value=6, type=int, help="IPv6 only.")
@click.option(
    "--timeout",
    type=seconds_to_wait(),
    default=10.0,
    show_default=True,
    help="Seconds to connect, and for each pong.",
)
@output_options
def command(
    urls: Sequence[str],
    count: int,
    interval: float,
    insecure: bool,
    ca: str | None,
    address: str | None,
    family: int | None,
    timeout: float,
    output: str | None,
    fail_if: str | None,
) -> None:
    """Connect, upgrade and ping each WebSocket (ws:// or wss://): the way market data and orders really travel.

    `ttfb` is the upgrade; `rtt_ms` are ping to pong by kernel stamps, whatever else the server sends meanwhile.
    """
    from nettrace.cli.family import family_of
    from nettrace.cli.report import Report
    from nettrace.cli.view import WebSocketView
    from nettrace.measure.streams.websocket import WebSocketOptions, ws_pings

    options = WebSocketOptions(
        count=count,
        interval_s=interval,
        pong_timeout_s=timeout,
        insecure=insecure,
        ca_file=ca,
        address=address,
        family=family_of(family),
        timeout_s=timeout,
    )

    async def run(report: Report) -> None:
        for url in urls:
            report.add(await ws_pings(url, options, on_abort=report.add))

    with Report(output, WebSocketView(), fail_if) as report:
        asyncio.run(run(report))
