"""Programs and packages, as their files describe them."""

import json
from pathlib import Path

import pytest

from mcpgateway.system.launch import programs


def made(path: Path, content: bytes = b"#!/bin/sh\n", mode: int = 0o755) -> str:
    """Make a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    path.chmod(mode)
    return str(path)


class SoundnessTests:
    """Programs that may be started directly."""

    @pytest.mark.parametrize(
        ("content", "mode", "is_sound"),
        [
            (b"#!/usr/bin/env node\n", 0o755, True),
            (b"\x7fELF\x02", 0o700, True),
            (b"#!/bin/sh\n", 0o775, True),
            (b"#!/bin/sh\n", 0o644, False),
            (b"#!/bin/sh\n", 0o757, False),
            (b"echo hello\n", 0o755, False),
            (b"", 0o755, False),
        ],
    )
    def test_files(self, tmp_path, content, mode, is_sound):
        """A program that the kernel can start, and that not just anybody can write to."""
        assert programs.is_sound(made(tmp_path / "p", content, mode)) is is_sound

    def test_no_file(self, tmp_path):
        """A missing file or a directory is no program."""
        assert not programs.is_sound(str(tmp_path / "missing"))
        assert not programs.is_sound(str(tmp_path))


class FindingTests:
    """Where programs are."""

    def test_in_their_order(self, tmp_path):
        """The first directory that has it counts; those that are not absolute do not."""
        first, second = made(tmp_path / "a" / "p"), made(tmp_path / "b" / "p")
        assert programs.find_in(f"{tmp_path}/a:{tmp_path}/b", "p") == first
        assert programs.find_in(f"{tmp_path}/none:.:{tmp_path}/b:", "p") == second

    @pytest.mark.parametrize("path", ["", ".", "bin:", "/none"])
    def test_nowhere(self, path):
        """Where there is none, none is found."""
        assert not programs.find_in(path, "p")


class PackageTests:
    """Which version a program is of."""

    def test_node(self, tmp_path):
        """The manifest of the package is found from the program that a link leads to."""
        package = tmp_path / "node_modules" / "@a" / "b"
        made(package / "package.json", json.dumps({"name": "@a/b", "version": "1.2.3"}).encode())
        made(package / "dist" / "package.json", b'{"type": "module"}')
        made(package / "dist" / "cli.js")
        link = tmp_path / "node_modules" / ".bin" / "b"
        link.parent.mkdir()
        link.symlink_to("../@a/b/dist/cli.js")
        assert programs.node_version(str(link), "@a/b") == "1.2.3"
        assert not programs.node_version(str(link), "@a/c")
        assert programs.node_manifest(f"{tmp_path}/node_modules", "@a/b")["version"] == "1.2.3"

    @pytest.mark.parametrize("content", [b"", b"[]", b"{", b'{"name": "b"}', b'{"name": "b", "version": 1}'])
    def test_odd_manifests(self, tmp_path, content):
        """A manifest that is none tells nothing."""
        made(tmp_path / "package.json", content)
        assert not programs.node_version(made(tmp_path / "cli.js"), "b")

    def test_python(self, tmp_path):
        """The version of a distribution is found in its environment, however its name is spelt."""
        program = made(tmp_path / "bin" / "p")
        (tmp_path / "lib" / "python3.11" / "site-packages" / "My_Server-1.2.dist-info").mkdir(parents=True)
        (tmp_path / "lib" / "python3.11" / "site-packages" / "my_server").mkdir()
        assert programs.python_version(program, "my.server") == "1.2"
        assert not programs.python_version(program, "server")
        assert not programs.python_version("/none/bin/p", "server")

    def test_entry_points(self, tmp_path):
        """The files of a distribution say whether it declares entry points of a group."""
        program = made(tmp_path / "bin" / "p")
        folder = tmp_path / "lib" / "python3.11" / "site-packages"
        made(folder / "a-1.dist-info" / "entry_points.txt", b"[console_scripts]\na = a:b\n")
        assert not programs.has_entry_points(program, "pipx.run")
        made(folder / "b-1.dist-info" / "entry_points.txt", b"[pipx.run]\nb = a:b\n")
        assert programs.has_entry_points(program, "pipx.run")
