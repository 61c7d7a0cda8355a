"""Give clients' files back after the end of their gateway: what its guardian becomes when it was ended by a signal.

Run as ``python -I -S restore_main.py HOME CONFIG [SECONDS]``: the configuration file that the gateway had, or an empty
word, and for how long a successor is waited for.  It ends when another gateway of the home runs.  The signals that the
guardian does not heed are not heeded here either: who switches the machine off still wants the files back.
"""

import sys


def main() -> None:
    """Wait, and give them back; unless there is a successor."""
    sys.path.append(__file__.rpartition("/")[0].rpartition("/")[0].rpartition("/")[0])
    from mcpgateway.shim.restore import AFTER_S, restore

    home, config, *seconds = sys.argv[1:]
    restore(home, config, float(seconds[0]) if seconds else AFTER_S)


if __name__ == "__main__":
    main()
