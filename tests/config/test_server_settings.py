"""Settings that are declared once."""

import pytest
from attrs import evolve, frozen

from mcpgateway.config.document import Document
from mcpgateway.config.edit.effective import Counts, counts_of
from mcpgateway.config.entry import Entry, Origin, Scope
from mcpgateway.config.kinds import Text, WholeNumber
from mcpgateway.config.model import Bridge, Concurrency, Lazy, Project, ServerSettings, Share
from mcpgateway.config.problems import Problems
from mcpgateway.config.resolve import Building, World
from mcpgateway.config.section import Key, Section, keys_of, said_of, same, setting, settings_of
from mcpgateway.config.serverkeys import SERVER
from mcpgateway.config.surface import Level
from mcpgateway.protocol.versions import Era

OTHERS = {
    "share": Share.SESSION,
    "protocol": Era.LEGACY,
    "bridge": Bridge.OFF,
    "enabled": False,
    "timeout_s": 5.0,
    "interactive": True,
    "lazy": Lazy(enabled=False),
    "replicas": 3,
    "concurrency": Concurrency(2),
    "resolve": False,
    "inject": {"a": "b"},
    "projects": (Project("p", "/p"),),
    "default_project": "p",
    "prefix": "x",
    "expose_tools": False,
    "pinned": ("t",),
    "shield": Level.LEAN,
    "shield_tools": {"t": Level.OFF},
}


@frozen(eq=False, kw_only=True)
class Stove:
    """Settings of a stove."""

    heat: int = setting(
        1, Key("heat", WholeNumber(0, 9), "How hot.", 1), same("warmth", WholeNumber(0, 9), "heat")
    )
    pots: dict[str, str] = setting({})
    name: str = setting(
        "", Key("name", Text(), "Its name."), read=lambda said: said["name"].upper(), is_live=True
    )


class DeclaredOnceTests:
    """One declaration is the field, its keys, what they take, and when a change counts."""

    @pytest.mark.parametrize(
        ("written", "said"),
        [
            ({}, {}),
            ({"warmth": 2}, {"heat": 2}),
            ({"heat": 3, "warmth": 2}, {"heat": 3}),
            ({"name": "oven"}, {"name": "OVEN"}),
        ],
    )
    def test_read(self, written, said):
        """The first of its keys that is there says a setting."""
        section = Section("A stove", keys_of(Stove))
        found = section.read(Document("f.yaml", written, lambda _: 1).root(), Problems())
        assert said_of(Stove, found) == said

    def test_what_is_not_said(self):
        """What no key says holds by default, and no two records share a mapping."""
        assert (Stove().heat, Stove().name) == (1, "")
        assert Stove().pots is not Stove().pots

    def test_schema(self):
        """The schema and the documentation have its keys, in their order."""
        assert list(Section("A stove", keys_of(Stove)).json()["properties"]) == ["heat", "warmth", "name"]

    @pytest.mark.parametrize("name", settings_of(ServerSettings))
    def test_from_the_entry_to_the_server(self, name):
        """Each setting of an entry is one of the server that is built of it."""
        entry = Entry("x", ("c",), {}, Origin(Scope.NATIVE, "f.yaml", "/"))
        server = Building("x", evolve(entry, **{name: OTHERS[name]}), World({}, {}, "/home")).server()
        assert getattr(server, name) == OTHERS[name]
        assert getattr(Building("x", entry, World({}, {}, "/home")).server(), name) != OTHERS[name]

    @pytest.mark.parametrize(("name", "how"), settings_of(ServerSettings).items())
    def test_keys(self, name, how):
        """Each setting of a server has keys in a file, and they say when an edit of them counts."""
        assert how.keys
        for key in how.keys:
            assert SERVER.keys[key.name] is key
            counts = counts_of(("servers", "NAME", key.name))
            assert counts is (Counts.AT_ONCE if how.is_live else Counts.NEW_PROCESS)
