"""The way in which uv or pipx was told to install the program."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mcpgateway import __version__
from mcpgateway.cli.installation import Installation, again, fixed_to, installation, newest
from tools.release import debian


class FixedTests:
    """An installation that no upgrade changes by itself."""

    @pytest.mark.parametrize(
        ("more", "fixed"),
        [
            ("", ""),
            (', specifier = ">=0.1"', ""),
            (', specifier = "==0.1.0"', "==0.1.0"),
            (', path = "/tmp/mcpgateway.whl"', "/tmp/mcpgateway.whl"),
        ],
    )
    def test_uv(self, tmp_path: Path, more: str, fixed: str) -> None:
        """The receipt of uv names a version, or the file that was installed."""
        receipt = f'[tool]\nrequirements = [{{ name = "mcpgateway"{more} }}]\n'
        (tmp_path / "uv-receipt.toml").write_text(receipt)
        assert fixed_to(str(tmp_path)) == fixed

    @pytest.mark.parametrize(
        ("told", "fixed"),
        [
            ("mcpgateway", ""),
            ("mcpgateway==0.1.0", "==0.1.0"),
            ("/tmp/mcpgateway.whl", "/tmp/mcpgateway.whl"),
        ],
    )
    def test_pipx(self, tmp_path: Path, told: str, fixed: str) -> None:
        """So does the record of pipx."""
        document = {"main_package": {"package_or_url": told}}
        (tmp_path / "pipx_metadata.json").write_text(json.dumps(document))
        assert fixed_to(str(tmp_path)) == fixed

    def test_neither(self, tmp_path: Path) -> None:
        """An environment of another kind is fixed to nothing."""
        assert fixed_to(str(tmp_path)) == ""

    @pytest.mark.parametrize(
        ("by", "install"), [("uv", "uv tool install --force"), ("pipx", "pipx install --force")]
    )
    def test_again(self, tmp_path: Path, by: str, install: str) -> None:
        """What was installed from a directory is pulled there, and installed from there again; a pin is given up."""
        found = Installation(by, (), "", {})
        from_directory = again(found, str(tmp_path))
        assert from_directory.startswith(f"git -C {tmp_path} pull, then {install}")
        assert from_directory.endswith(f" {tmp_path}, then mcpgateway restart")
        assert again(found, "==0.1.0").endswith(" mcpgateway, then mcpgateway restart")

    @pytest.mark.parametrize(
        ("receipt", "removal"),
        [
            ("uv-receipt.toml", "uv tool uninstall mcpgateway"),
            ("pipx_metadata.json", "pipx uninstall mcpgateway"),
        ],
    )
    def test_removal(self, tmp_path: Path, receipt: str, removal: str) -> None:
        """The program is removed by the tool that has installed it."""
        (tmp_path / "mcpgateway").mkdir()
        (tmp_path / "mcpgateway" / receipt).touch()
        assert installation(str(tmp_path / "mcpgateway")).removal == removal

    def test_the_package_of_debian(self) -> None:
        """The environment of the Debian package is apt's."""
        found = installation(f"/{debian.PLACE}")
        assert (found.by, found.removal) == ("apt", "sudo apt remove mcpgateway")


class AskTests:
    """The newest release is asked for by a dry run."""

    @pytest.mark.parametrize(("backend", "asked"), [("pip", "pipx"), ("uv", "uv"), ("", "pipx")])
    def test_pipx(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, backend: str, asked: str) -> None:
        """pipx records a command that begins with install as the program's new source, so none does."""
        (tmp_path / "pipx_metadata.json").write_text(json.dumps({"backend": backend} if backend else {}))
        for name in ("pipx", "uv"):
            (tmp_path / name).write_text(f'#!/bin/sh\necho {name} "$@" >>{tmp_path}/asked\n')
            (tmp_path / name).chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
        monkeypatch.setattr("sys.prefix", str(tmp_path))
        assert newest(Installation("pipx", (), "", {})) == __version__
        lines = (tmp_path / "asked").read_text().splitlines()
        assert all(each.startswith(f"{asked} ") and "--dry-run" in each for each in lines)
        assert not any(" runpip " in each and each.split()[3] == "install" for each in lines)
