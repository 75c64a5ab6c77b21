"""python -m nibble: the command."""
import sys

from nibble._core import command


def main() -> int:
    sys.stdout.flush()
    return command(["nibble", *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
