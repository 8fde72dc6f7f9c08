"""`nettrace completion SHELL`: the script to evaluate in a shell's start-up file."""

import click
from click.shell_completion import get_completion_class


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Print the completion script of SHELL.

    For example in ~/.bashrc:  eval "$(nettrace completion bash)"
    """
    from nettrace.cli.root import group

    made = get_completion_class(shell)
    if made is None:
        raise click.UsageError(f"no completion for {shell}")
    click.echo(made(group, {}, "nettrace", "_NETTRACE_COMPLETE").source())
