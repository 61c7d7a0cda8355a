"""The guardian: a small process that outlives the gateway by a moment, to kill its children.

It is run as ``python -I -S guardian_main.py NAME=VALUE`` with a pipe from the gateway as stdin.  Lines on the pipe:
``+PGID`` and ``-PGID`` add and remove process groups of children, ``bye`` announces an orderly end.  When the pipe ends
without a ``bye``, the gateway is dead: every group, and every process whose environment holds the marker, is killed.
``=WORDS``, each in hexadecimal digits, is the command that the guardian executes after that; the last one counts.  A
gateway that ends in order sends no ``bye`` where that command is still to be run.  ``@NAME=VALUE SECONDS PGID`` is the
deadline of the child whose environment holds that entry, by a clock that goes on while the machine sleeps: when it has
passed, the group and all that hold the entry are killed, whatever the gateway does.  The last one counts, and
``@NAME=VALUE`` alone takes it back.

The program imports builtin modules only, so that it takes about 3 MB of memory of its own.
"""

import _signal  # type: ignore[import-not-found]  # the builtin half of signal, which would load enum and more
import posix
import sys
import time

PASSES = 100
PAUSE_S = 0.02
PIECE = 65536
LOOK_S = 0.25  # the longest time between two looks at the deadlines: the timer stands still while the machine sleeps
KILLS = 50  # of one child whose deadline has passed; a zombie takes signals, too
CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


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
    deadlines = Deadlines()
    rest = b""
    while data := posix.read(0, PIECE):
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            if line == b"bye":
                return
            if line[:1] == b"+":
                groups.add(int(line[1:]))
            elif line[:1] == b"@":
                deadlines.take(line[1:].split(b" "))
            elif line[:1] == b"=":
                afterwards = [bytes.fromhex(each.decode()) for each in line[1:].split(b" ")]
            else:
                groups.discard(int(line[1:]))
    clear_up(groups, marker)
    _signal.setitimer(_signal.ITIMER_REAL, 0)  # an alarm would outlive this program, and end the next one
    if afterwards:
        posix.execv(afterwards[0], afterwards)


class Deadlines:
    """The deadlines of children, by the entries of their environments."""

    def __init__(self) -> None:
        self._known: dict[bytes, tuple[float, int, int]] = {}  # the deadline, the group, and the kills so far
        _signal.signal(_signal.SIGALRM, self.look)

    def take(self, words: list[bytes]) -> None:
        """Set the deadline of a child, or take it back."""
        if len(words) == 3:
            self._known[words[0]] = (float(words[1]), int(words[2]), 0)
        else:
            self._known.pop(words[0], None)
        self.look()

    def look(self, *_: object) -> None:
        """Kill the children whose deadlines have passed, and look again in time."""
        now = time.clock_gettime(CLOCK)
        for entry, (until, group, kills) in list(self._known.items()):
            if now < until:
                continue
            found = [killed(posix.kill, pid) for pid in bearing(entry)]
            is_left = (group and killed(posix.killpg, group)) or any(found)
            if is_left and kills < KILLS:
                self._known[entry] = (until, group, kills + 1)
            else:
                del self._known[entry]
        nearest = min([until for until, _, _ in self._known.values()], default=None)
        delay = 0.0 if nearest is None else min(max(nearest - now, PAUSE_S), LOOK_S)
        _signal.setitimer(_signal.ITIMER_REAL, delay)


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
