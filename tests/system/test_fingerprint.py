"""The fingerprint of a file that is written all the time."""

import json

import pytest

from mcpgateway.system.fingerprint import Fingerprints, essence

FILE = {
    "numStartups": 1,
    "history": ["a"],
    "mcpServers": {"a": {"command": "x"}},
    "projects": {"/p": {"history": ["b"], "mcpServers": {"b": {"command": "y"}}}},
}


def changed(**more):
    """The file with other members."""
    return json.dumps({**FILE, **more})


class EssenceTests:
    """Two files of one essence."""

    @pytest.mark.parametrize(
        "more",
        [
            {"numStartups": 2},
            {"history": ["a", "b"]},
            {"projects": {"/p": {"history": [], "mcpServers": {"b": {"command": "y"}}}}},
        ],
    )
    def test_the_same(self, more):
        """History and habits do not matter."""
        assert essence(changed(**more)) == essence(changed())

    @pytest.mark.parametrize(
        "more",
        [
            {"mcpServers": {}},
            {"mcpServers": {"a": {"command": "z"}}},
            {"enabledMcpjsonServers": ["x"]},
            {"projects": {}},
            {"projects": {"/q": FILE["projects"]["/p"]}},
            {"projects": {"/p": {"mcpServers": {"b": {"command": "z"}}}}},
        ],
    )
    def test_another(self, more):
        """Servers do, and the projects they are of."""
        assert essence(changed(**more)) != essence(changed())

    @pytest.mark.parametrize("text", ["", "{", "[]", '{"projects": []}', '{"projects": {"/p": 1}}'])
    def test_of_another_shape(self, text):
        """The whole content of a file of another form counts."""
        assert essence(text) is None


class EssencesTests:
    """Which changes matter."""

    def test_a_busy_file(self, tmp_path):
        """A busy file matters the first time, then when what matters of it is another."""
        path = tmp_path / "claude.json"
        essences = Fingerprints((str(path),))
        path.write_text(changed())
        assert essences.is_other({str(path)})
        path.write_text(changed(numStartups=2))
        assert not essences.is_other({str(path)})
        path.write_text(changed(mcpServers={}))
        assert essences.is_other({str(path)})
        path.write_text("{")
        assert essences.is_other({str(path)})
        assert essences.is_other({str(path)})
        path.unlink()
        assert essences.is_other({str(path)})

    def test_any_other_file(self, tmp_path):
        """Every change of any other file matters, and none is none."""
        essences = Fingerprints((str(tmp_path / "a"),))
        assert essences.is_other({"b"})
        assert not essences.is_other(set())
