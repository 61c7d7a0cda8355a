"""Settings as real processes see them."""

import subprocess
import sys

import pytest

from mcpgateway.system.settings import LoadOptions, load

pytestmark = pytest.mark.functional


class DemoTests:
    def test_found(self, tmp_path):
        """The demonstration servers are found from where they run, and no file there can stand in their place."""
        (tmp_path / "mcpgateway.py").write_text("raise SystemExit('a stranger')")
        found = load(
            LoadOptions(home=str(tmp_path / "home"), demo=True), {"HOME": str(tmp_path), "PATH": "/bin"}
        )
        finder = "import importlib.util, sys; sys.exit(importlib.util.find_spec(sys.argv[1]) is None)"
        assert len(found.servers) == 2
        for each in found.servers:
            argv = [*each.command[:2], "-c", finder, each.command[3]]
            assert subprocess.run(argv, env=dict(each.env), cwd=each.cwd, check=False).returncode == 0


class ImportTests:
    def test_light(self):
        """Without a YAML file nothing heavy is loaded to read a configuration."""
        code = (
            "import sys, mcpgateway.system.settings\n"
            "print([each for each in ('ruamel', 'difflib', 'email', 'http', 'twisted') if each in sys.modules])"
        )
        found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert found.stdout.strip() == "[]"
