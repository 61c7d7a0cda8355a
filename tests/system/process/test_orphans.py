"""The registry of children on disk, and what the next start makes of it."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

from twisted.logger import capturedLogs

from mcpgateway.system.process.orphans import FORMAT, ChildRegistry, reap_leftovers
from mcpgateway.system.process.procfs import is_alive, start_time

NOBODY = 2**22 + 1  # beyond the largest process id Linux gives out


def written(home: Path, **changes: Any) -> Path:
    """A registry file as a killed gateway leaves it, with changes."""
    content = {
        "format": FORMAT,
        "gateway": {"pid": NOBODY, "start_time": 1},
        "instance": "none-bears-this",
        "children": [],
        **changes,
    }
    path = home / "children" / "x.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content))
    return path


class RegistryTests:
    """The registry that is written while the gateway runs."""

    def test_mirror(self, tmp_path: Path) -> None:
        """The file names every running child so that it can be recognised, and is gone after a clean end."""
        registry = ChildRegistry(str(tmp_path), "i1")
        registry.added(os.getpid(), "s")
        content = json.loads(Path(registry.path).read_text())
        assert content["children"] == [
            {"pid": os.getpid(), "start_time": start_time(os.getpid()), "server": "s"}
        ]
        assert content["gateway"]["pid"] == os.getpid()
        assert stat.S_IMODE(os.stat(registry.path).st_mode) == 0o600
        registry.removed(os.getpid())
        registry.removed(os.getpid())
        assert json.loads(Path(registry.path).read_text())["children"] == []
        registry.close()
        registry.close()
        assert not Path(registry.path).exists()

    def test_a_home_that_takes_nothing(self, tmp_path: Path) -> None:
        """Where nothing can be written children are started all the same, and the log says so once."""
        (tmp_path / "children").write_text("in the way")
        registry = ChildRegistry(str(tmp_path), "i1")
        with capturedLogs() as events:
            registry.added(os.getpid(), "s")
            registry.removed(os.getpid())
            registry.close()
        assert [event["event"] for event in events] == ["orphan.unrecorded"]


class LeftoverTests:
    """The next start after a killed gateway."""

    def test_nothing_there(self, tmp_path: Path) -> None:
        """A home without leftovers is fine."""
        assert reap_leftovers(str(tmp_path)) == []

    def test_a_living_gateway_is_left_alone(self, tmp_path: Path) -> None:
        """Another gateway of the same home that still runs keeps its children and its file."""
        own = {"pid": os.getpid(), "start_time": start_time(os.getpid())}
        path = written(tmp_path, gateway=own)
        assert reap_leftovers(str(tmp_path)) == []
        assert path.exists()

    def test_a_stranger_is_never_killed(self, tmp_path: Path) -> None:
        """A process that has got a dead child's number is recognised as a stranger by its start time."""
        stranger = {"pid": os.getpid(), "start_time": start_time(os.getpid()) + 1, "server": "s"}
        path = written(tmp_path, children=[stranger])
        assert reap_leftovers(str(tmp_path)) == []
        assert is_alive(os.getpid())
        assert not path.exists()

    def test_a_newer_format_is_kept(self, tmp_path: Path) -> None:
        """A file of a newer gateway is neither believed nor erased."""
        path = written(tmp_path, format=FORMAT + 1)
        assert reap_leftovers(str(tmp_path)) == []
        assert path.exists()

    def test_rubbish(self, tmp_path: Path) -> None:
        """A file that cannot be read stops nothing, and a half-written draft is swept away."""
        path = written(tmp_path)
        path.write_text("{")
        draft = path.parent / "y.json.new"
        draft.write_text("")
        assert reap_leftovers(str(tmp_path)) == []
        assert path.exists()
        assert not draft.exists()


class ProcessTests:
    """Living and dead."""

    def test_alive(self) -> None:
        """This process is alive, process 1 is although it is not ours, and an unused number is not."""
        assert is_alive(os.getpid())
        assert is_alive(1)
        assert not is_alive(NOBODY)
        assert start_time(NOBODY) == 0
