"""Restore clients' files after the end of their gateway: the program that its guardian executes after a signal's end.

It is run as ``python -I -S restore_main.py HOME CONFIG [SECONDS]``: the configuration file of the gateway, or an empty
word, and the time to wait for a successor.  It ends when another gateway of the home runs.  It ignores the same signals
as the guardian: a user who switches the machine off still wants the files restored.
"""

import sys


def main() -> None:
    """Wait, and restore the files unless there is a successor."""
    sys.path.append(__file__.rpartition("/")[0].rpartition("/")[0].rpartition("/")[0])
    from mcpgateway.shim.restore import AFTER_S, restore

    home, config, *seconds = sys.argv[1:]
    restore(home, config, float(seconds[0]) if seconds else AFTER_S)


if __name__ == "__main__":
    main()
