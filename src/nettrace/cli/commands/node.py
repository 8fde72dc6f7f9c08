"""`nettrace node`: measures from here for a hub elsewhere, and brings everything home."""

from pathlib import Path

import click


@click.command("node")
@click.option("--hub", metavar="URL", help="Where to report: https://, or http:// on this machine.")
@click.option(
    "--token-file",
    metavar="FILE",
    type=click.Path(dir_okay=False),
    help="One-time token for the first start (nettrace fleet token on the hub; - is stdin).",
)
@click.option(
    "--region", metavar="CODE", envvar="NETTRACE_PLACE", help="Name of this vantage, such as fra or ewr-2."
)
@click.option(
    "--data",
    metavar="DIR",
    type=click.Path(file_okay=False),
    help="Identity, spool and assignment. Default: ~/.local/share/nettrace/node.",
)
@click.option("--ca", metavar="FILE", help="Trust exactly the certificates in this PEM file for the hub.")
@click.option("--insecure-http", is_flag=True, help="Allow plain http:// to another machine.")
@click.option(
    "--spool-mb",
    type=click.IntRange(1, 1_000_000),
    default=256,
    show_default=True,
    help="How much may wait for the hub; the oldest makes room.",
)
@click.option("--city", help="Where this machine stands, for people.")
@click.option("--country", metavar="CC", help="Two letters.")
@click.option(
    "--reflect", metavar="ADDRESS[:PORT]",
    help="Where other nodes reach this one: runs a STAMP reflector (UDP 862) that answers them alone.",
)  # fmt: skip
@click.option(
    "--metrics", "metrics_port", type=click.IntRange(0, 65_535), metavar="PORT",
    help="Serve OpenMetrics at http://127.0.0.1:PORT/metrics; 0 takes a free port and says which.",
)  # fmt: skip
@click.option(
    "--gauges", metavar="DIR", type=click.Path(file_okay=False),
    help="Report replication lags from *.prom files in this folder.",
)  # fmt: skip
@click.option(
    "--at", "coordinates", metavar="LAT,LON", help="Where it stands, as the speed of light needs it."
)
def command(
    hub: str | None,
    token_file: str | None,
    region: str | None,
    data: str | None,
    ca: str | None,
    insecure_http: bool,
    spool_mb: int,
    city: str | None,
    country: str | None,
    coordinates: str | None,
    reflect: str | None,
    metrics_port: int | None,
    gauges: str | None,
) -> None:
    """Measure what the hub assigns, keep it on disk, report it: outbound only, nothing lost.

    The first start enrols with the token; later ones need neither token nor region. Without the hub it goes on
    measuring and reports when the hub is back. SIGTERM ends it within five seconds.
    """
    from nettrace.errors import Invalid
    from nettrace.hub.place import default_folder
    from nettrace.node.agent import Settings, run
    from nettrace.node.line import read_token
    from nettrace.node.spool import Bounds
    from nettrace.runtime.named_file import unreadable

    def token() -> str:
        if token_file is None:
            raise Invalid("This node has not enrolled yet", "Give the hub's token with --token-file FILE")
        try:
            with click.open_file(token_file, encoding="utf-8") as file:
                return read_token(file.read())
        except (OSError, UnicodeDecodeError) as problem:
            raise unreadable(token_file, problem, by="--token-file") from problem

    latitude, longitude = _coordinates(coordinates)
    settings = Settings(
        folder=Path(data) if data else default_folder() / "node",
        hub=hub,
        region=region,
        token=token,
        ca_file=ca,
        insecure_http=insecure_http,
        bounds=Bounds(most_bytes=spool_mb * 1024 * 1024),
        city=city,
        country=country,
        latitude=latitude,
        longitude=longitude,
        reflect=reflect,
        metrics_port=metrics_port,
        gauges=Path(gauges) if gauges else None,
    )
    run(settings)


def _coordinates(text: str | None) -> tuple[float | None, float | None]:
    if text is None:
        return None, None
    try:
        latitude, longitude = (float(part) for part in text.split(","))
    except ValueError:
        latitude, longitude = 999.0, 0.0
    if not (-90 <= latitude <= 90 and -180 <= longitude <= 180):
        raise click.BadParameter(f"'{text}' is not LAT,LON in degrees", param_hint="--at")
    return latitude, longitude
