"""The classification of servers whose own files cannot be changed."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from mcpgateway.errors import ConfigError
from mcpgateway.system.classification import classify


class ClassifyTests:
    """The file in the home."""

    def test_there_and_back(self, tmp_path: Path) -> None:
        """A member that was set stands beside the earlier ones; a removed one is gone."""
        path = Path(classify(str(tmp_path), "a", {"mode": "global"}))
        classify(str(tmp_path), "b", {"concurrency": "writes"})
        classify(str(tmp_path), "a", {"concurrency": 2})
        assert json.loads(path.read_text()) == {
            "a": {"mode": "global", "concurrency": 2},
            "b": {"concurrency": "writes"},
        }
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        classify(str(tmp_path), "a", {"mode": None, "concurrency": None})
        assert json.loads(path.read_text()) == {"b": {"concurrency": "writes"}}

    @pytest.mark.parametrize("text", ["[]", "{", '{"a": 3}'])
    def test_something_else(self, tmp_path: Path, text: str) -> None:
        """A file that holds something else is left as it is."""
        path = tmp_path / "classification.json"
        path.write_text(text)
        with pytest.raises(ConfigError):
            classify(str(tmp_path), "b", {"mode": "global"})
        assert path.read_text() == text
