"""The `nettrace` command, also as `python -m nettrace`."""

import gc
import sys


def main() -> None:
    """Run the command line; Ctrl-C while modules are still being loaded is an interrupt like any other."""
    gc.disable()  # loading modules makes no garbage; the command's loader enables it again
    try:
        from nettrace.cli.root import main as run  # noqa: PLC0415 - not before the guard stands

        run()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
