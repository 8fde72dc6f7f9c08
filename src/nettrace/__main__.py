"""`python -m nettrace` is the `nettrace` command."""

from nettrace.cli.root import main

if __name__ == "__main__":
    main()
