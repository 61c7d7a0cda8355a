"""Fall back to the former program, where the one that a restart has executed in its place fails at its start.

# Note [The former program]
An upgrade replaces the files of the program that runs.  So a gateway that can restart keeps its package in its home, by
hard links where the file system allows them.  The restart names this package to the next program, which copies all
descriptors that it gets, and closes the copies when its reactor runs: until then it has read nothing from them.  Where
it ends before, for whatever reason, it executes the former program with these descriptors, as the restart has executed
it.  To that one no package is named, so it is the last to be tried.
"""

from __future__ import annotations

import atexit
import fcntl
import os
import shutil
import signal
import sys
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import suppress
from glob import iglob

import mcpgateway
from mcpgateway.escaping import one_line
from mcpgateway.system.printing import put
from mcpgateway.system.process.processes import files_left, raise_nofile, restore_nofile

VARIABLE = "MCPGATEWAY_FORMER"
FAILED_VARIABLE = "MCPGATEWAY_FAILED"  # the reason why the next program has not started, for the former one
PATH_VARIABLE, OWN_PATH_VARIABLE = "PYTHONPATH", "MCPGATEWAY_PYTHONPATH"
DIRECTORY, PACKAGE = "program", "mcpgateway"  # the former is in the home
ROOM = 256 * 2**20  # bytes of the disk, of which a copy takes a tenth
FIRST = 3
REASON_CHARS = 500

_copies: dict[int, int] = {}  # of the descriptors of this process, by descriptor


def keep(home: str, since: float) -> str:
    """Keep the package of this program in a home; return the directory that it can be imported from.

    :param since: the time in epoch seconds when the program was loaded.
    :return: "" where its files have changed since then, or the disk is nearly full.
    :raise OSError: it cannot be kept.
    """
    kept = os.path.join(os.path.realpath(home), DIRECTORY)
    package = os.path.realpath(os.path.dirname(mcpgateway.__file__))
    if package == os.path.join(kept, PACKAGE):
        return kept
    for each in (made := f"{kept}.new", kept):
        shutil.rmtree(each, ignore_errors=True)
    if shutil.disk_usage(home).free < ROOM:
        return ""
    try:
        copy = shutil.copytree(package, os.path.join(made, PACKAGE), copy_function=_link)
        if not _is_of(copy, since):
            return ""
        os.rename(made, kept)
        return kept
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _is_of(copy: str, since: float) -> bool:
    """Return whether the files of a copy are those that this process has loaded; some installers keep their times."""
    with open(os.path.join(copy, "__init__.py"), encoding="utf-8") as file:
        is_release = repr(mcpgateway.__version__)[1:-1] in file.read()
    return is_release and all(
        os.stat(each).st_mtime <= since for each in iglob(f"{copy}/**/*.py", recursive=True)
    )


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system, or the files of another user
        shutil.copy2(source, target)


def arm(environ: MutableMapping[str, str]) -> None:
    """Execute the former program that a variable names, if this one ends before `disarm`; remove the variable.

    In the former program that is executed so, put back the search path that its children inherit.
    """
    if OWN_PATH_VARIABLE in environ:
        environ[PATH_VARIABLE] = environ.pop(OWN_PATH_VARIABLE)
        if not environ[PATH_VARIABLE]:
            del environ[PATH_VARIABLE]
    if not (former := environ.pop(VARIABLE, "")):
        return
    raise_nofile()
    inherited = list(_inherited())
    if inherited and files_left() > 2 * len(inherited):  # the start opens files, too
        atexit.register(_fall_back, former, dict(environ))
        _copies.update((each, fcntl.fcntl(each, fcntl.F_DUPFD_CLOEXEC, FIRST)) for each in inherited)


def _inherited() -> Iterator[int]:
    with suppress(FileNotFoundError):  # a system without /dev
        for each in map(int, os.listdir("/dev/fd")):
            with suppress(OSError):  # that of the listing
                if each >= FIRST and os.get_inheritable(each):
                    yield each


def is_armed() -> bool:
    """Return whether the former program goes on where this one fails."""
    return bool(_copies)


def disarm() -> None:
    """Go on with this program, which has started."""
    atexit.unregister(_fall_back)
    for each in _copies.values():
        os.close(each)
    _copies.clear()


def _fall_back(former: str, environ: Mapping[str, str]) -> None:
    why = getattr(sys, "last_value", None)
    told = one_line(f"{type(why).__name__}: {why}" if why else "it has ended")[:REASON_CHARS]
    path = environ.get(PATH_VARIABLE, "")
    changes = {
        PATH_VARIABLE: f"{former}{os.pathsep}{path}" if path else former,
        OWN_PATH_VARIABLE: path,
        FAILED_VARIABLE: told,
    }
    put(f"mcpgateway: the program fails at its start, and the former one goes on: {told}", to=sys.stderr)
    for descriptor, copy in _copies.items():
        os.dup2(copy, descriptor)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until the former program handles it
    restore_nofile()
    os.execve(sys.executable, sys.orig_argv, {**environ, **changes})  # noqa: S606
