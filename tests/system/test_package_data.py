"""The data files of the package."""

from __future__ import annotations

from configparser import ConfigParser
from fnmatch import fnmatch
from pathlib import Path

from mcpgateway.system import package_data

ROOT = Path(__file__).resolve().parents[2]


class ShippedTests:
    """Files beside the code."""

    def test_they_are_there(self) -> None:
        """Recipes and topics can be read wherever the package lies."""
        assert package_data.recipes()
        assert package_data.topics().startswith("# ")

    def test_every_file_is_packaged(self) -> None:
        """No file of the data is left out of what is installed."""
        setup = ConfigParser()
        setup.read(ROOT / "setup.cfg")
        patterns = [each.strip() for each in setup["options.package_data"]["mcpgateway"].split(",")]
        data = Path(package_data.DATA)
        for path in data.rglob("*"):
            name = f"data/{path.relative_to(data)}"
            assert path.is_dir() or any(fnmatch(name, each) for each in patterns), path
