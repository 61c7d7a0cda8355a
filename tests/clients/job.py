"""Jobs of a client: to call one tool of one real server, whose answer holds something only it can know."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from attrs import frozen

from tests.clients.program import WORK
from tests.support import real_servers
from tests.support.gateway import server


@frozen
class Job:
    """A call of one tool, and the text of its answer.

    :ivar server: whose tool it is, by the name that the gateway serves it under.
    :ivar proof: what the answer holds, in letters that no JSON has to escape.
    """

    server: str
    tool: str
    arguments: Mapping[str, Any]
    proof: str


@frozen
class World:
    """A directory with something for every server to work on.

    :ivar clients: how many different clients it has something for, each of which has a number of its own.
    """

    directory: Path
    clients: int

    @property
    def repository(self) -> Path:
        """The repository that the git server serves."""
        return self.directory / "repository"

    @property
    def memory(self) -> Path:
        """The file of the memory server."""
        return self.directory / "memory.jsonl"

    def home(self, number: int) -> Path:
        """The home directory of a client; what the file server is asked for lies where the client works."""
        return self.directory / f"home-{number}"

    def note(self, number: int) -> Path:
        """A file of that client's."""
        # Where clients offer roots, the file server knows no other directories than theirs.
        return self.home(number) / WORK / "note.txt"

    def make(self) -> None:
        """Fill the directory."""
        self.repository.mkdir()
        for words in (
            "init -q",
            "-c user.name=t -c user.email=t@example.org commit -q --allow-empty -m first",
        ):
            subprocess.run(["git", *words.split()], cwd=self.repository, check=True)
        entities = []
        for number in range(self.clients):
            self.note(number).parent.mkdir(parents=True)
            self.note(number).write_text(_secret("file", number))
            seen = {"name": f"thing-{number}-x", "entityType": "thing"}
            entities.append({"type": "entity", **seen, "observations": [_secret("memory", number)]})
        self.memory.write_text("\n".join(map(json.dumps, entities)))

    def servers(self) -> dict[str, dict[str, Any]]:
        """The entries of the servers in a gateway's configuration."""
        argvs = {
            "everything": real_servers.everything(),
            "filesystem": real_servers.filesystem(str(self.directory)),
            "memory": real_servers.memory(),
            "sequential-thinking": real_servers.sequential_thinking(),
            "time": real_servers.time(),
            "git": real_servers.git(str(self.repository)),
        }
        more = {"memory": {"MEMORY_FILE_PATH": str(self.memory)}}
        return {name: server(argv, env=more.get(name, {}), env_policy="full") for name, argv in argvs.items()}

    def job(self, name: str, number: int) -> Job:
        """A call of this server for the client with this number; no two of them have the same answer."""
        return JOBS[name](self, number)


def _echo(world: World, number: int) -> Job:
    return Job("everything", "echo", {"message": f"echo-{number}-x"}, f"Echo: echo-{number}-x")


def _file(world: World, number: int) -> Job:
    asked = {"path": str(world.note(number))}
    return Job("filesystem", "read_text_file", asked, _secret("file", number))


def _memory(world: World, number: int) -> Job:
    return Job("memory", "open_nodes", {"names": [f"thing-{number}-x"]}, _secret("memory", number))


def _thought(world: World, number: int) -> Job:
    total = 700000 + number
    about = {"thought": "t", "thoughtNumber": 1, "totalThoughts": total, "nextThoughtNeeded": True}
    return Job("sequential-thinking", "sequentialthinking", about, str(total))


def _time(world: World, number: int) -> Job:
    hour, minute = divmod(number, 60)
    asked = {"source_timezone": "UTC", "time": f"{hour:02}:{minute:02}", "target_timezone": "Asia/Tokyo"}
    return Job("time", "convert_time", asked, f"T{hour + 9:02}:{minute:02}:00+09:00")


def _git(world: World, number: int) -> Job:
    asked = {"repo_path": str(world.repository), "branch_name": f"branch-{number}-x"}
    return Job("git", "git_create_branch", asked, f"Created branch 'branch-{number}-x'")


PER_SESSION = {"everything", "sequential-thinking"}
"""The servers whose clients need a process each: one asks for what clients offer, one keeps a train of thought.

The server of files asks clients for their roots only, and none of these clients has any.
"""

JOBS: Mapping[str, Callable[[World, int], Job]] = {
    "everything": _echo,
    "filesystem": _file,
    "memory": _memory,
    "sequential-thinking": _thought,
    "time": _time,
    "git": _git,
}


def _secret(what: str, number: int) -> str:
    return f"known-to-{what}-{number}-only"
