"""The shim as a program: ``python -I -S shim_main.py SIGINT COMMAND …``, where SIGINT says whether that is ignored.

``-I -S`` leaves out the site packages, so it makes its own package known before anything else.
"""

import sys
from posix import O_RDWR, _exit, close, open, set_inheritable  # noqa: A004  # there is no other open here


def occupy() -> None:
    """See that the three standard descriptors are open, before something of ours takes the place of a closed one."""
    try:
        while (descriptor := open("/dev/null", O_RDWR)) <= 2:
            set_inheritable(descriptor, True)  # it takes no name
        close(descriptor)
    except OSError:
        return


def main() -> None:
    """Run, and end without the interpreter's own tidying up."""
    occupy()
    package = __file__.rpartition("/")[0].rpartition("/")[0]
    sys.path.append(package.rpartition("/")[0])
    from mcpgateway.shim.main import main as shim

    _exit(shim(sys.argv[2:], ignores_interrupts=sys.argv[1] == "ignored"))


if __name__ == "__main__":
    main()
