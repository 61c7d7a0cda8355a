"""The guardian: a small process that outlives the gateway by a moment, to kill its children.

It is run as ``python -I -S guardian_main.py NAME=VALUE`` with a pipe from the gateway as stdin.  Lines on the pipe:
``+PGID`` and ``-PGID`` add and remove process groups of children, ``bye`` announces an orderly end.  When the pipe ends
without a ``bye``, the gateway is dead: every group, and every process whose environment holds the marker, is killed.
``=WORDS``, each in hexadecimal digits, is the command that the guardian executes after that; the last one counts.  A
gateway that ends in order sends no ``bye`` where that command is still to be run.

The program imports builtin modules only, so that it takes about 3 MB of memory of its own.
"""

import _signal  # type: ignore[import-not-found]  # the builtin half of signal, which would load enum and more
import posix
import sys
import time

PASSES = 100
PAUSE_S = 0.02
PIECE = 65536


def main() -> None:
    """Read the pipe until it ends."""
    marker = sys.argv[1].encode()
    for number in (_signal.SIGINT, _signal.SIGTERM, _signal.SIGHUP):
        _signal.signal(number, _signal.SIG_IGN)
    try:
        posix.setsid()  # SIGKILL for the gateway's whole group must not end the guardian
    except OSError:
        pass
    groups: set[int] = set()
    afterwards: list[bytes] = []
    rest = b""
    while data := posix.read(0, PIECE):
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            if line == b"bye":
                return
            if line[:1] == b"+":
                groups.add(int(line[1:]))
            elif line[:1] == b"=":
                afterwards = [bytes.fromhex(each.decode()) for each in line[1:].split(b" ")]
            else:
                groups.discard(int(line[1:]))
    clear_up(groups, marker)
    if afterwards:
        posix.execv(afterwards[0], afterwards)


def clear_up(groups: set[int], marker: bytes) -> None:
    """Send SIGKILL until no process of the groups, and none with the marker, is left."""
    for _ in range(PASSES):
        left = [group for group in groups if killed(posix.killpg, group)]
        left += [pid for pid in bearing(marker) if killed(posix.kill, pid)]
        if not left:
            return
        time.sleep(PAUSE_S)


def killed(kill: object, target: int) -> bool:
    """True if the signal reached a process."""
    try:
        kill(target, _signal.SIGKILL)  # type: ignore[operator]  # one of posix.kill and posix.killpg
    except OSError:
        return False
    return True


def bearing(marker: bytes) -> list[int]:
    """Return the living processes whose environment holds the marker; none where there is no /proc."""
    try:
        names = posix.listdir("/proc")
    except OSError:
        return []
    own = posix.getpid()
    return [
        int(name) for name in names if name.isdigit() and int(name) != own and marker in environment(name)
    ]


def environment(pid: str) -> list[bytes]:
    """Return the entries of a process's environment; empty for a zombie, or for another user's process."""
    try:
        descriptor = posix.open("/proc/" + pid + "/environ", posix.O_RDONLY)
    except OSError:
        return []
    data = b""
    try:
        while piece := posix.read(descriptor, PIECE):
            data += piece
    except OSError:
        pass
    finally:
        posix.close(descriptor)
    return data.split(b"\0")


if __name__ == "__main__":
    main()
