"""`nettrace http`: the stages of a request, each by itself."""

import asyncio
from collections.abc import Sequence

import click

from nettrace.cli.number import seconds_between, seconds_to_wait
from nettrace.cli.output import output_options


@click.command("http")
@click.argument("urls", nargs=-1, required=True, metavar="URL...")
@click.option("-n", "--count", type=click.IntRange(1), default=1, show_default=True, help="Requests per URL.")
@click.option(
    "-i", "--interval", type=seconds_between(), default=0.2, show_default=True, help="Seconds between them."
)
@click.option("--keepalive", is_flag=True, help="All requests on one connection: later ones have only ttfb.")
@click.option("--insecure", is_flag=True, help="Do not check the certificate.")
@click.option("--ca", metavar="FILE", help="Trust exactly the certificates in this PEM file.")
@click.option(
    "-H", "--header", "headers", multiple=True, metavar="'NAME: VALUE'", help="Add a request header."
)
@click.option("-X", "--request", "verb", default="GET", show_default=True, help="Request method.")
@click.option("--address", metavar="IP", help="Connect to this address instead of resolving the name.")
@click.option("-4", "family", flag_value=4, type=int, help="IPv4 only.")
@click.option("-6", "family", flag_value=6, type=int, help="IPv6 only.")
@click.option(
    "--timeout",
    type=seconds_to_wait(),
    default=10.0,
    show_default=True,
    help="Seconds per request.",
)
@output_options
def command(
    urls: Sequence[str],
    count: int,
    interval: float,
    keepalive: bool,
    insecure: bool,
    ca: str | None,
    headers: Sequence[str],
    verb: str,
    address: str | None,
    family: int | None,
    timeout: float,
    output: str | None,
    fail_if: str | None,
) -> None:
    """DNS, connect, TLS and time to first byte of each URL, timed by the kernel.

    `ttfb` runs from the request's last byte out to the answer's first byte in; `connect` is SYN to SYN-ACK.
    403 and 451 are `failed: blocked`, 5xx `failed: http`; their stages are kept. Redirects are reported, not
    followed; proxies of the environment are ignored, because they would be measured instead.
    """
    from nettrace.cli.family import family_of
    from nettrace.cli.report import Report
    from nettrace.cli.view import HttpView
    from nettrace.measure.streams.http import HttpOptions, exchange

    options = HttpOptions(
        count=count,
        interval_s=interval,
        keepalive=keepalive,
        insecure=insecure,
        ca_file=ca,
        headers=dict(_header(text) for text in headers),
        method=verb,
        address=address,
        family=family_of(family),
        timeout_s=timeout,
    )

    async def run(report: Report) -> None:
        for url in urls:
            async for result in exchange(url, options, on_abort=report.add):
                report.add(result)

    with Report(output, HttpView(), fail_if) as report:
        asyncio.run(run(report))


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        raise click.BadParameter(f"'{text}' is not 'NAME: VALUE'", param_hint="--header")
    return name.strip(), value.strip()
