"""Programs in the place of ``systemctl`` and ``launchctl``, which record what they are asked and told."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Self

# What holds of a unit is an empty file of its name in a directory called after what holds.
BEGINNING = """#!/bin/sh
cd {directory} || exit 1
[ "$1" = --user ] && shift
echo "$*" >> asked
for each in broken/*; do
    case "$*" in "${{each#broken/}}"*) while read -r says; do echo "$says" >&2; done < "$each"; exit 1;; esac
done
verb=$1
shift
"""
SYSTEMCTL = """
for each; do
    case $verb:$each in
    *:-*) ;;
    show:*)
        enabled=disabled active=inactive running=dead pid=0 says=
        [ -e "enabled/$each" ] && enabled=enabled
        [ -e "active/$each" ] && active=active running=running pid=4711 says='2 servers'
        echo "UnitFileState=$enabled
ActiveState=$active
SubState=$running
MainPID=$pid
StatusText=$says";;
    enable:*) : > "enabled/$each";;
    disable:*) /bin/rm -f "enabled/$each" "active/$each";;
    start:* | restart:*) : > "active/$each";;
    esac
done
"""
LAUNCHCTL = """
for each; do :; done
label=${each##*/}
label=${label%.plist}
case $verb in
print)
    [ -e "active/$label" ] || { echo "Could not find service $label" >&2; exit 113; }
    printf '%s = {\\n\\tactive count = 1\\n\\tstate = running\\n\\tpid = 4711\\n}\\n' "$each";;
bootstrap) : > "active/$label";;
bootout) /bin/rm -f "active/$label";;
esac
"""


class Scripted:
    """A scripted program: its script lies in a directory of its own, which is all of its user's ``PATH``.

    :cvar program: what it is called.
    :cvar script: what it does, after it has recorded what it was asked.
    :cvar questions: how requests begin that change nothing.
    """

    program: ClassVar = ""
    script: ClassVar = ""
    questions: ClassVar[tuple[str, ...]] = ()

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        for name in ("enabled", "active", "broken"):
            (directory / name).mkdir(parents=True)
        path = directory / self.program
        path.write_text(BEGINNING.format(directory=directory) + self.script)
        path.chmod(0o755)

    def environ(self, home: Path) -> dict[str, str]:
        """The environment of a user who has it, in a shell."""
        return {"HOME": str(home), "PATH": str(self.directory), "SHLVL": "1", "TERM": "dumb"}

    def asked(self) -> list[str]:
        """Return the commands since the last call of this, without queries."""
        path = self.directory / "asked"
        found = path.read_text().splitlines() if path.exists() else []
        path.write_text("")
        return [each for each in found if not each.startswith(self.questions)]

    def active(self) -> set[str]:
        """Return the running units."""
        return {each.name for each in (self.directory / "active").iterdir()}

    def enabled(self) -> set[str]:
        """Return the units that start at the next login."""
        return {each.name for each in (self.directory / "enabled").iterdir()}

    def end(self, name: str) -> None:
        """Stop a unit."""
        (self.directory / "active" / name).unlink()

    def breaks(self, verb: str, says: str) -> Self:
        """Let every such command fail, with text on stderr."""
        (self.directory / "broken" / verb).write_text(f"{says}\n")
        return self


class Systemctl(Scripted):
    """The command line of systemd, for a user."""

    program = "systemctl"
    script = SYSTEMCTL
    questions = ("show", "reset-failed")


class Launchctl(Scripted):
    """The command line of launchd."""

    program = "launchctl"
    script = LAUNCHCTL
    questions = ("print",)
