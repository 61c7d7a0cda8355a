"""A release from a new clone, up to what is published."""

from __future__ import annotations

import re
import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest

from mcpgateway import __version__
from tests.support import releases
from tests.support.real_servers import ROOT
from tests.support.releases import LONG, Release, git

WORKFLOWS = ROOT / ".github" / "workflows"


class RefusalTests:
    """Releases that are not made, after which the checkout is as before."""

    @pytest.fixture
    def clone(self, tmp_path: Path) -> Path:
        """A new clone."""
        return releases.cloned(tmp_path)

    def test_refusals(self, clone: Path) -> None:
        """A text that is no version, an older one, one that is released, and changes that are not committed."""
        head = git(clone, "rev-parse", "HEAD")
        refused(clone, "next", "'next' is no version")
        refused(clone, "0.0.1", f"is older than the package, which is {__version__}")
        git(clone, "tag", "v77.0.0")
        refused(clone, "77.0.0rc2", r"is not newer than the releases 77\.0\.0")
        (clone / "README.md").write_text("")
        refused(clone, "78.0.0", r"not committed:\n M README\.md")
        assert git(clone, "rev-parse", "HEAD") == head
        assert git(clone, "tag") == "v77.0.0"
        assert not (clone / "dist").exists()


def refused(clone: Path, version: str, why: str) -> None:
    """A release is refused, with the reason."""
    done = releases.cut(clone, version)
    assert done.returncode == 1
    assert re.search(why, done.stderr), done


class WorkflowTests:
    """The workflows: one tests, and one publishes."""

    def test_pinned(self) -> None:
        """Each action is named by its commit: a tag can be moved."""
        used = [use for each in WORKFLOWS.iterdir() for use in re.findall(r"uses: (\S+)", each.read_text())]
        assert used
        assert [each for each in used if not re.fullmatch(r"[\w.-]+/[\w.-]+@[0-9a-f]{40}", each)] == []

    def test_rights(self) -> None:
        """The workflow that publishes may read; the one job that may write and sign runs nothing of the checkout."""
        text = (WORKFLOWS / "release.yml").read_text()
        assert "\npermissions:\n  contents: read\n\n" in text
        build, publish = text.partition("\n  publish:\n")[::2]
        assert "write" not in build
        assert set(re.findall(r"([\w-]+): write", publish)) == {"contents", "id-token"}
        assert "checkout@" not in publish


@LONG
class RehearsalTests:
    """A release that was made."""

    def test_the_checkout(self, release: Release) -> None:
        """The checkout has one commit more, with the version and the changelog, and its signed tag."""
        assert git(release.clone, "log", "-1", "--format=%s %an") == f"Release {__version__} A Releaser"
        assert git(release.clone, "rev-parse", f"v{__version__}^{{commit}}") == git(
            release.clone, "rev-parse", "HEAD"
        )
        assert "-----BEGIN SSH SIGNATURE-----" in git(release.clone, "cat-file", "tag", f"v{__version__}")
        assert git(release.clone, "status", "--porcelain") == ""
        assert not list((release.clone / "docs" / "newsfragments").glob("*.rst"))
        assert f"git push --atomic origin HEAD v{__version__}" in release.output

    def test_its_files(self, release: Release) -> None:
        """Every file of the release is there, whole, and has a checksum."""
        names = {each.name for each in release.files.iterdir()}
        deb = release.file("mcpgateway_*.deb").name
        wanted = {
            f"mcpgateway-{__version__}.tar.gz",
            f"mcpgateway-{__version__}-py3-none-any.whl",
            *([f"mcpgateway-vscode-{__version__}.vsix"] if (ROOT / "ui" / "vscode").is_dir() else []),
            deb,
            "install.sh",
        }
        assert names == wanted | {"checksums.txt", "checksums.txt.sig", "release-notes.md"}
        sums = (release.files / "checksums.txt").read_text()
        assert set(re.findall(r"(?m)^[0-9a-f]{64}  (\S+)$", sums)) == wanted
        subprocess.run(
            ["sha256sum", "--check", "--strict", "checksums.txt"], cwd=release.files, check=True, timeout=60
        )
        with zipfile.ZipFile(release.file("*.whl")) as wheel:
            assert "mcpgateway/data/ui/index.json" in wheel.namelist()
        with tarfile.open(release.file("*.tar.gz")) as source:
            dates = {each.mtime for each in source.getmembers()}
        assert dates == {int(git(release.clone, "log", "-1", "--format=%ct"))}

    def test_its_signature(self, release: Release, tmp_path: Path) -> None:
        """The signature of the checksums is checked as SECURITY.md has it, and fails for others."""
        page = (ROOT / "SECURITY.md").read_text()
        (command,) = re.findall(r"\$ (ssh-keygen -Y verify .*)", page)
        signers = f"mcpgateway {release.key.with_suffix('.pub').read_text()}"
        (tmp_path / "allowed_signers").write_text(signers)
        for name in ("checksums.txt", "checksums.txt.sig"):
            (tmp_path / name).write_bytes((release.files / name).read_bytes())
        subprocess.run(["sh", "-c", command], cwd=tmp_path, check=True, timeout=60)
        (tmp_path / "checksums.txt").write_text("0" * 64 + "  install.sh\n")
        assert subprocess.run(["sh", "-c", command], cwd=tmp_path, check=False, timeout=60).returncode

    def test_its_notes(self, release: Release) -> None:
        """The notes are the section of the changelog, and say how the files are checked and built again."""
        notes = (release.files / "release-notes.md").read_text()
        assert notes.startswith("### Features\n")
        assert "sha256sum --check" in notes
        assert "setuptools" in notes
        assert not re.search(r":\w+:`|``", notes)
