"""Entries that are changed: whatever is done in whatever order, the file says what was asked for, and no more."""

from __future__ import annotations

import json
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from mcpgateway.config.diff import Change
from mcpgateway.config.edit.change import Patch
from mcpgateway.config.edit.conditions import EditCondition
from mcpgateway.config.read import parse
from mcpgateway.errors import NameTaken, Outdated, UnknownServer
from mcpgateway.manage.entries import Entries
from mcpgateway.manage.servers import ServerOperations
from mcpgateway.observe.roster import Roster
from tests.support.gateway import IS_SOAK
from tests.support.gateway_in_memory import MemoryGateway
from tests.support.managed import Managed

ANY = EditCondition(frozenset("*"))
NAMES = st.sampled_from(["a", "b", "c", "d-1"])
KEYS = st.sampled_from(["ONE", "TWO", "THREE"])
VALUES = st.sampled_from(["1", "two words", "a=b", "#x", "'", '"', "ü", "true", "null", "- x", "{", ""])
VARIABLES = st.dictionaries(KEYS, VALUES, max_size=3)
DEFINITIONS = st.builds(
    lambda command, env, as_list, more: {
        "command": command,
        **({"env": [f"{k}={v}" for k, v in env.items()] if as_list else env} if env else {}),
        **more,
    },
    st.sampled_from(["run", "/opt/run"]),
    VARIABLES,
    st.booleans(),
    st.sampled_from(
        [{}, {"args": ["a b", "#"]}, {"timeout": 5}, {"share": "global", "lazy": {"prewarm": False}}]
    ),
)
CONFIGS = (
    "# top\nservers:\n  a:  # first\n    command: run\n# end\n",
    "# top\ngateway: {expose: full}\nservers: {a: {command: run}}  # flow\n# end\n",
    '{"mcpServers": {"a": {"command": "run"}}}',
)


def entries_of(managed: Managed) -> Entries:
    """Changes of a configuration's entries."""
    gateway = MemoryGateway()

    def apply(change: Change) -> None:
        gateway.serve(*change.settings.servers)

    managed.reload.apply = apply
    gateway.serve(*managed.reload.settings.servers)
    roster = Roster(lambda: gateway.dispatcher.servers, gateway.census.server)
    operating = ServerOperations(gateway.dispatcher, gateway.health, gateway.clock)
    return Entries(managed.installing, roster, operating, b"key")


class Editing(RuleBasedStateMachine):
    """A user who adds, replaces, changes, renames and removes entries."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.TemporaryDirectory()
        self.model: dict[str, dict[str, Any]] = {}
        self.managed: Any = None
        self.entries: Any = None

    @precondition(lambda self: self.managed is None)
    @rule(config=st.sampled_from(CONFIGS))
    def begin(self, config: str) -> None:
        """Begin with one of the usual files."""
        home = Path(self.directory.name) / "home"
        home.mkdir()
        self.managed = Managed(home, config)
        self.entries = entries_of(self.managed)
        self.config = config
        self.model = {"a": {"command": "run"}}

    @precondition(lambda self: self.managed is not None)
    @rule(name=NAMES, definition=DEFINITIONS)
    def add(self, name: str, definition: dict[str, Any]) -> None:
        """A new one; a name is taken once."""
        if name in self.model:
            with pytest.raises(NameTaken):
                self.entries.add(name, definition)
            return
        assert self.entries.add(name, definition).is_new
        self.model[name] = definition

    @precondition(lambda self: self.managed is not None)
    @rule(name=NAMES, definition=DEFINITIONS)
    def put(self, name: str, definition: dict[str, Any]) -> None:
        """Put an entry in place of the present one."""
        condition = ANY if name in self.model else EditCondition()
        text = self.managed.text
        changed = self.entries.put(name, definition, condition)
        assert changed.is_other is (self.model.get(name) != definition)
        assert changed.is_other or self.managed.text == text
        self.model[name] = definition

    @precondition(lambda self: self.managed is not None)
    @rule(name=NAMES, env=VARIABLES, gone=st.lists(KEYS, max_size=2), disabled=st.none() | st.booleans())
    def patch(self, name: str, env: dict[str, str], gone: list[str], disabled: bool | None) -> None:  # noqa: FBT001
        """Variables, and the switch; what is so already is not written."""
        gone = [each for each in gone if each not in env]
        patch = Patch(disabled, env, tuple(gone))
        if name not in self.model:
            with pytest.raises(UnknownServer):
                self.entries.patch(name, patch, EditCondition())
            return
        tag = self.entries.tag(name)
        changed = self.entries.patch(name, patch, EditCondition(frozenset((tag,))))
        assert changed.is_other is (self.entries.tag(name) != tag)
        text = self.managed.text
        assert not self.entries.patch(name, patch, EditCondition()).is_other
        assert self.managed.text == text
        entry = dict(parse(text, str(self.managed.file)).value.get(self.key_path, {})[name])
        held = entry.get("env", {})
        known = dict(each.split("=", 1) for each in held) if isinstance(held, list) else held
        former = self.model[name].get("env", {})
        before = dict(each.split("=", 1) for each in former) if isinstance(former, list) else former
        assert known == {k: v for k, v in {**before, **env}.items() if k not in gone}
        self.model[name] = entry

    @property
    def key_path(self) -> str:
        """The key that servers stand under."""
        return "mcpServers" if "mcpServers" in self.config else "servers"

    @precondition(lambda self: self.managed is not None)
    @rule(name=NAMES, new=NAMES)
    def rename(self, name: str, new: str) -> None:
        """Give an entry another name."""
        if name not in self.model:
            return
        if new in self.model and new != name:
            with pytest.raises(NameTaken):
                self.entries.patch(name, Patch(new_name=new), EditCondition())
            return
        assert self.entries.patch(name, Patch(new_name=new), EditCondition()).name == new
        self.model[new] = self.model.pop(name)

    @precondition(lambda self: self.managed is not None)
    @rule(name=NAMES)
    def remove(self, name: str) -> None:
        """Gone, and kept elsewhere."""
        if name not in self.model:
            with pytest.raises(UnknownServer):
                self.entries.remove(name, EditCondition())
            return
        with suppress(Outdated):
            self.entries.remove(name, EditCondition(frozenset(('"other"',))))
        kept, _ = self.entries.remove(name, EditCondition())
        assert json.loads(Path(kept).read_text())["mcpServers"][name] == self.model.pop(name)

    @invariant()
    def the_file_says_it(self) -> None:
        """The file has the entries of the requests; comments stay, and the configuration is valid."""
        if self.managed is None:
            return
        text = self.managed.text
        value = parse(text, str(self.managed.file)).value
        assert (value.get(self.key_path) or {}) == self.model
        assert all(each in text for each in ("# top", "# end") if each in self.config)
        assert self.managed.reload.state.problems == ()
        assert set(self.managed.names) == set(self.model)

    def teardown(self) -> None:
        """Leave nothing behind."""
        self.directory.cleanup()


EditingTests = Editing.TestCase
EditingTests.settings = settings(
    max_examples=200 if IS_SOAK else 8,
    stateful_step_count=12,
    suppress_health_check=[HealthCheck.too_slow],
)
EditingTests.__doc__ = Editing.__doc__
