"""The version and the changelog of a release."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from mcpgateway import __version__
from tests.support.real_servers import ROOT
from tools.release import changelog
from tools.release.commands import ReleaseError

FRAGMENTS = {
    "7.feature.rst": "``mcpgateway fly`` flies, as :doc:`/howto/cluster` says.",
    "8.bugfix.1.rst": "No call is lost.",
}


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The files of a checkout that a release changes."""
    (tmp_path / "mcpgateway").mkdir()
    shutil.copy(ROOT / "mcpgateway" / "__init__.py", tmp_path / "mcpgateway")
    for name in ("CHANGELOG.md", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    folder = tmp_path / "docs" / "newsfragments"
    folder.mkdir(parents=True)
    for name, text in FRAGMENTS.items():
        (folder / name).write_text(text + "\n")
    return tmp_path


class VersionTests:
    """Versions of releases."""

    def test_their_order(self) -> None:
        """A release comes after its candidates, and numbers are not compared as text."""
        ordered = ["0.1.0", "0.2.0a1", "0.2.0b1", "0.2.0rc1", "0.2.0rc2", "0.2.0", "0.2.1", "0.10.0", "1.0.0"]
        assert sorted(set(ordered), key=changelog.order) == ordered

    @pytest.mark.parametrize("text", ["", "1", "1.2", "v1.2.3", "1.2.3.4", "1.2.3-rc1", "1.2.3 "])
    def test_none(self, text: str) -> None:
        """A text that is no version is refused, with an example."""
        with pytest.raises(ReleaseError, match=r"0\.2\.0"):
            changelog.order(text)

    def test_that_of_the_package(self, checkout: Path) -> None:
        """The version of the package is read, and written in its place."""
        assert changelog.current(checkout) == __version__
        changelog.assign(checkout, "7.8.9rc1")
        assert changelog.current(checkout) == "7.8.9rc1"


class ChangelogTests:
    """CHANGELOG.md."""

    def test_a_section(self, checkout: Path) -> None:
        """Fragments become a section in Markdown above those before, and are removed."""
        changelog.extend(checkout, "7.8.9")
        folder = checkout / "docs" / "newsfragments"
        assert not list(folder.glob("*"))
        (folder / "9.removal.rst").write_text("Flying is gone.\n")
        changelog.extend(checkout, "7.9.0")
        text = (checkout / "CHANGELOG.md").read_text()
        assert text.index("## mcpgateway 7.9.0") < text.index("## mcpgateway 7.8.9")
        notes = changelog.notes(checkout, "7.8.9")
        assert "- `mcpgateway fly` flies, as `docs/howto/cluster.rst` says. (#7)" in notes
        assert "- No call is lost. (#8)" in notes
        assert "Flying" not in notes
        assert changelog.notes(checkout, "7.9.0").startswith("### Removals\n\n- Flying is gone. (#9)")

    def test_nothing_has_changed(self, checkout: Path) -> None:
        """A release without changes is refused."""
        shutil.rmtree(checkout / "docs")
        with pytest.raises(ReleaseError, match="nothing has changed"):
            changelog.extend(checkout, "7.8.9")

    def test_no_section(self, checkout: Path) -> None:
        """Notes of a version that the changelog does not have are refused."""
        with pytest.raises(ReleaseError, match=r"no section of 7\.8\.9"):
            changelog.notes(checkout, "7.8.9")
