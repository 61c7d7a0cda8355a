"""The shim as a program: ``python -I -S shim_main.py SIGINT COMMAND …``, where SIGINT says whether that is ignored.

``-I -S`` leaves out the site packages, so it makes its own package known before anything else.
"""

import sys
from posix import _exit


def main() -> None:
    """Run, and end without the interpreter's own tidying up."""
    package = __file__.rpartition("/")[0].rpartition("/")[0]
    sys.path.append(package.rpartition("/")[0])
    from mcpgateway.bridge.shim import main as shim

    _exit(shim(sys.argv[2:], ignores_interrupts=sys.argv[1] == "ignored"))


if __name__ == "__main__":
    main()
