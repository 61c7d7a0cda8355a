"""Start a killed gateway again: the program that its guardian executes after it has cleaned up.

It is run as ``python -I -S revive_main.py HOME [SECONDS SECONDS SECONDS]``: the times to wait after the first crash in
a row, the second and so on; the last holds for every other.  It ends when a gateway runs, however it was started, or
when none is wanted any more.
"""

import sys


def main() -> None:
    """Wait, and start the gateway, until it runs or is not wanted."""
    sys.path.append(__file__.rpartition("/")[0].rpartition("/")[0].rpartition("/")[0])
    from mcpgateway.shim.crash_restart import revive

    pauses = tuple(float(each) for each in sys.argv[2:])
    revive(sys.argv[1], pauses)


if __name__ == "__main__":
    main()
