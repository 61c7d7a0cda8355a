"""Settings that are declared once."""

import pytest
from attrs import evolve, frozen

from mcpgateway.config.diff import at_start, settings_changed
from mcpgateway.config.document import Document
from mcpgateway.config.entry import SERVER, Entry, Origin, Scope
from mcpgateway.config.fields import Duration, Strings, Text, WholeNumber
from mcpgateway.config.gateway_settings import GATEWAY, GatewaySettings
from mcpgateway.config.model import Bridge, Concurrency, Freeze, Lazy, Project, ServerSettings, Share
from mcpgateway.config.problems import Problems
from mcpgateway.config.reference import counts_of, known_keys, reference
from mcpgateway.config.resolve import ServerBuilder, World
from mcpgateway.config.section import (
    Counts,
    Key,
    Section,
    keyed,
    keys_of,
    overlaid,
    part,
    same,
    setting,
    settings_of,
)
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
    "is_sole": True,
    "on": ("gpu",),
    "concurrency": Concurrency(2),
    "resolve": False,
    "inject": {"a": "b"},
    "projects": (Project("p", "/p"),),
    "default_project": "p",
    "prefix": "x",
    "expose_tools": False,
    "tools_off": ("u", "v*"),
    "pinned": ("t",),
    "shield": Level.LEAN,
    "shield_tools": {"t": Level.OFF},
    "prefork": True,
    "freeze": Freeze.ALWAYS,
    "auto_upgrade": "patch",
    "quarantine": True,
}


@frozen
class Pot:
    """Settings of a pot."""

    litres: int = setting("litres", WholeNumber(1, 9), "How much it holds.", 3)


POT = Section("A pot", keys_of(Pot))
NAME = Key("name", Text(), "Its name.")


@frozen
class Stove:
    """Settings of a stove."""

    heat: int = setting(
        "heat",
        WholeNumber(0, 9),
        "How hot it is.",
        1,
        also=(same("warmth", WholeNumber(0, 9), "heat"),),
        counts=Counts.AT_START,
    )
    spices: dict[str, str] = setting("spices", Strings(), "What is at hand.", {}, is_secret=True)
    flue_s: float = setting("open", Duration(), "How long the flue is open.", "2m", below="flue")
    name: str = keyed(NAME, value="", read=lambda said: said["name"].upper())
    is_named: bool = keyed(NAME, value=False, read=bool)
    pot: Pot = part(Pot, Key("pot", POT, "The pot on it."))


class DeclaredOnceTests:
    """The declaration of a setting is its field, its keys, their values, and the time when a change counts."""

    @pytest.mark.parametrize(
        ("written", "expected"),
        [
            ({}, {}),
            ({"warmth": 2}, {"heat": 2}),
            ({"heat": 3, "warmth": 2}, {"heat": 3}),
            ({"name": "oven"}, {"name": "OVEN", "is_named": True}),
            ({"flue": {"open": "5s"}}, {"flue_s": 5.0}),
            ({"pot": {"litres": 5}}, {"pot": Pot(5)}),
        ],
    )
    def test_read(self, written, expected):
        """The first of a setting's keys in a file counts; a part keeps the settings that a file leaves out."""
        flue = Section("A flue", keys_of(Stove, "flue"))
        section = Section("A stove", [*keys_of(Stove), Key("flue", flue, "The flue.")])
        found = section.read(Document("f.yaml", written, lambda _: 1).root(), Problems())
        assert overlaid(Stove(), found) == evolve(Stove(), **expected)
        assert overlaid(Stove(heat=7), {"pot": {"litres": 5}}) == Stove(heat=7, pot=Pot(5))

    def test_defaults(self):
        """A default is declared as a file has it, and no two instances share a mapping."""
        assert (Stove().heat, Stove().flue_s, Stove().pot) == (1, 120.0, Pot(3))
        assert Stove().spices is not Stove().spices
        assert "spices" not in repr(Stove())

    def test_schema(self):
        """The schema and the documentation have the keys in the order of the fields, each once."""
        assert list(Section("A stove", keys_of(Stove)).json()["properties"]) == [
            *("heat", "warmth", "spices", "name", "pot"),
        ]
        assert [key.name for key in keys_of(Stove, "flue")] == ["open"]

    @pytest.mark.parametrize(("declared", "section"), [(GatewaySettings, GATEWAY), (ServerSettings, SERVER)])
    def test_one_place(self, declared, section):
        """The reader, the schema, the reference and the editor have the keys of the declarations, and no copies."""
        known = {id(each.key): each for each in known_keys()}
        for key in keys_of(declared):
            assert section.keys[key.name] is key
            assert section.json()["properties"][key.name]["description"] == key.says
            assert f"``{key.name}``" in reference()
            assert known[id(key)].counts is (key.counts or Counts.AT_ONCE)

    def test_at_start(self):
        """A setting that counts at the start only is declared so, and the comparison of two settings knows it."""
        before = GatewaySettings()
        after = evolve(before, http_port=1, allow_remote=True, trace=evolve(before.trace, begin=True))
        assert settings_changed(before, after) == ("http_port", "allow_remote", "trace")
        assert at_start(before, after) == ("http_port", "trace")

    @pytest.mark.parametrize("name", settings_of(ServerSettings))
    def test_from_the_entry_to_the_server(self, name):
        """A setting of an entry is a setting of the server that is built of it."""
        entry = Entry(title="x", argv=("c",), origin=Origin(Scope.NATIVE, "f.yaml", "/"))
        server = ServerBuilder("x", evolve(entry, **{name: OTHERS[name]}), World({}, {}, "/home")).server()
        assert getattr(server, name) == OTHERS[name]
        assert getattr(ServerBuilder("x", entry, World({}, {}, "/home")).server(), name) != OTHERS[name]

    @pytest.mark.parametrize(("name", "how"), settings_of(ServerSettings).items())
    def test_keys(self, name, how):
        """A setting of a server has keys in a file, which say when an edit of them counts."""
        assert how.keys
        for key in how.keys:
            assert SERVER.keys[key.name] is key
            counts = counts_of(("servers", "NAME", key.name))
            assert counts is how.counts
            assert counts in (Counts.AT_ONCE, Counts.NEW_PROCESS)
