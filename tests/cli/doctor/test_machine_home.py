"""The checks that the home belongs to its gateway, and of proxies in front of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mcpgateway.cli.doctor.context import UserProcess
from tests.support.doctoring import found, ids, is_fine, world, written

TWISTD = ("python", "/venv/bin/twistd", "-n", "mcpgateway", "--home")


def proc(tmp_path: Path, *names: str, mounts: str = "") -> str:
    """A place where processes of these names, and mounts, are shown."""
    made = tmp_path / "proc"
    made.mkdir()
    for number, name in enumerate(names, 100):
        (made / str(number)).mkdir()
        (made / str(number) / "comm").write_text(f"{name}\n")
    (made / "mounts").write_text(mounts)
    return str(made)


class HomeTests:
    """The check that a home has one gateway."""

    def two(self, tmp_path: Path, key: str) -> Any:
        """A home, and another gateway whose home has this key."""
        other = tmp_path / "other"
        (other / "sessions").mkdir(parents=True)
        (other / "sessions" / "key").write_text(key)
        program = UserProcess(5, 1, (*TWISTD, str(other)))
        looked_at = world(tmp_path, programs=(program,), proc=proc(tmp_path))
        written(looked_at, "sessions/key", "mine\n")
        return looked_at

    def test_its_own(self, tmp_path: Path) -> None:
        """Two gateways with homes and keys of their own are as they should be."""
        assert is_fine("homes", self.two(tmp_path, "another"))

    def test_a_copied_key(self, tmp_path: Path) -> None:
        """A key that two homes have is a problem, and the other home is named."""
        (only,) = found("homes", self.two(tmp_path, "mine"))
        assert only.id == "homes.key"
        assert str(tmp_path / "other") in only.text

    @pytest.mark.parametrize(
        ("kind", "told"), [("nfs4", "homes.network"), ("cifs", "homes.network"), ("ext4", "homes")]
    )
    def test_a_network_file_system(self, tmp_path: Path, kind: str, told: str) -> None:
        """A home that other machines may use is told of, however its directory is called."""
        user = tmp_path / "a user"
        mounts = (
            f"/dev/sda / ext4 rw 0 0\nserver:/x {str(user).replace(' ', chr(92) + '040')} {kind} rw 0 0\n"
        )
        looked_at = world(user, proc=proc(tmp_path, mounts=mounts))
        assert ids("homes", looked_at) == [told]


class ProxyTests:
    """Proxies in front of the gateway."""

    def test_none(self, tmp_path: Path) -> None:
        """Other programs are no proxies."""
        assert is_fine("proxies", world(tmp_path, proc=proc(tmp_path, "bash", "nginx-exporter")))

    def test_one(self, tmp_path: Path) -> None:
        """A running proxy is named, of any user."""
        (only,) = found("proxies", world(tmp_path, proc=proc(tmp_path, "nginx", "nginx")))
        assert only.id == "proxies.here"
        assert only.text.startswith("nginx runs")
        assert "X-Forwarded-For" in only.advice
