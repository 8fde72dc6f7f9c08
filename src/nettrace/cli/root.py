"""The `nettrace` command: loads a subcommand only when it is called."""

import click

from nettrace import __version__


@click.group(invoke_without_command=True)
@click.version_option(__version__, prog_name="nettrace")
def main() -> None:
    """Financial network intelligence from the command line."""
