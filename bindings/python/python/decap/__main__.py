"""The program `decap`: `python -m decap` and the console script."""

import sys

from . import _decap


def main() -> int:
    """Runs the program with the words of the command line."""
    return _decap.main(["decap", *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
