"""`nettrace mcp`: the hub's answers, measuring and a few operations as tools for an assistant."""

import asyncio
import os
from pathlib import Path

import click

from nettrace.cli.folder import data_option
from nettrace.cli.output import note
from nettrace.errors import MissingExtra


@click.command("mcp")
@data_option
@click.option("--hub", metavar="URL", help="Ask this hub over its API; its key comes from NETTRACE_KEY.")
@click.option("--http", "bind", metavar="HOST:PORT", help="Serve streamable HTTP at /mcp instead of stdio.")
@click.option(
    "--public-host", multiple=True, metavar="NAME", help="With --http: a name it is reached by from outside."
)
@click.option(
    "--scope", "scopes", multiple=True, type=click.Choice(["read", "measure", "fleet"]),
    help="What it may do without a key; may be repeated. Default: read and measure.",
)  # fmt: skip
def command(
    data: Path | None,
    hub: str | None,
    bind: str | None,
    public_host: tuple[str, ...],
    scopes: tuple[str, ...],
) -> None:
    """Serve the Model Context Protocol: on stdin and stdout for an assistant on this machine, or over HTTP with keys.

    It reads the hub's folder here, whether the hub runs or not, or the hub at URL. Without either, and with no hub in
    the usual folder, the tools that need none are there: scan, check_claim, plan_placement. Over HTTP a key's scopes
    decide; as long as no key was made, callers of this machine have --scope.
    """
    try:
        from nettrace.mcp.opening import Wanted, serve
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing in {"mcp", "mcp_types", "starlette", "httpx2"}:
            raise MissingExtra("mcp", "nettrace mcp") from None
        if missing in {"apsw", "numpy", "pyarrow", "uvicorn"}:
            raise MissingExtra("hub", "nettrace mcp") from None
        raise
    from nettrace.hub.place import Data, default_folder
    from nettrace.hub.programs import Bind
    from nettrace.model.account import Scope

    if hub is not None and (data is not None or bind is not None):
        raise click.UsageError("--hub goes with neither --data nor --http")
    place = None if data is None else Data(data)
    if place is None and hub is None:
        usual = Data(default_folder())
        place = usual if usual.database.exists() else None
    wanted = Wanted(
        data=place, hub=hub, key=os.environ.get("NETTRACE_KEY") or None, bind=None if bind is None else Bind(bind),
        public_hosts=public_host, scopes=frozenset(Scope(each) for each in scopes or ("read", "measure")),
    )  # fmt: skip
    asyncio.run(serve(wanted, lambda address: note(f"nettrace: answers at {address}. Ctrl-C ends it.")))
