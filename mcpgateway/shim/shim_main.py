"""The shim as a program: ``python -I -S shim_main.py SIGINT COMMAND …``, with SIGINT ``ignored`` or ``default``.

``-I -S`` leaves out the site packages, so the program puts its own package on the path first.
"""

import sys
from posix import O_RDWR, _exit, close, open, set_inheritable  # noqa: A004  # there is no other open here


def occupy() -> None:
    """Open the standard descriptors that are closed, so that no other file of the shim gets their numbers."""
    try:
        while (descriptor := open("/dev/null", O_RDWR)) <= 2:
            set_inheritable(descriptor, True)  # it takes no name
        close(descriptor)
    except OSError:
        return


def main() -> None:
    """Run the shim, and exit without the interpreter's cleanup."""
    occupy()
    package = __file__.rpartition("/")[0].rpartition("/")[0]
    sys.path.append(package.rpartition("/")[0])
    from mcpgateway.shim.main import main as shim

    _exit(shim(sys.argv[2:], ignores_interrupts=sys.argv[1] == "ignored"))


if __name__ == "__main__":
    main()
