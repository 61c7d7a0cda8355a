"""Directories and the workspaces they lie in; files that are read again when they have changed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from attrs import define
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock

from mcpgateway.errors import ConfigError
from mcpgateway.system.workspaces import FRESH_S, KEPT, NOWHERE, ParsedFile, WorkingDirectory, WorkspaceFinder


@define
class Machine:
    """A machine with a home directory."""

    home: Path
    clock: Clock

    def places(self, *configured: Path, proc: str = "/proc") -> WorkspaceFinder:
        """Return a finder of workspaces on this machine."""
        return WorkspaceFinder(
            [str(each) for each in configured], str(self.home), self.clock.seconds, proc=proc
        )

    def made(self, name: str) -> Path:
        """A directory in the home."""
        made = self.home / name
        made.mkdir(parents=True, exist_ok=True)
        return made


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """A machine."""
    return Machine(tmp_path.resolve(), Clock())


class RootTests:
    """Which workspace a directory lies in."""

    def test_repository(self, machine: Machine) -> None:
        """The nearest repository above, whether its ``.git`` is a directory or, in a worktree, a file."""
        inner, outer = machine.made("outer/lib/inner/src/deep"), machine.made("outer/docs")
        machine.made("outer/.git")
        (machine.home / "outer/lib/inner/.git").write_text("gitdir: elsewhere\n")
        found = machine.places().find(str(inner))
        assert found == WorkingDirectory(str(inner), str(machine.home / "outer/lib/inner"))
        assert machine.places().find(str(outer)).root == str(machine.home / "outer")

    def test_no_repository(self, machine: Machine) -> None:
        """The workspace outside of repositories is the directory itself."""
        alone = machine.made("alone")
        assert machine.places().find(str(alone)) == WorkingDirectory(str(alone), str(alone))

    def test_configured(self, machine: Machine) -> None:
        """A configured workspace goes before a repository in it, and the longest of several before the others."""
        deep = machine.made("work/shop/src")
        machine.made("work/shop/src/.git")
        work, shop = machine.home / "work", machine.home / "work/shop"
        assert machine.places(work, shop).find(str(deep)).root == str(shop)
        assert machine.places(work).find(str(deep)).root == str(work)
        assert machine.places(machine.home / "wor").find(str(deep)).root == str(deep)

    def test_real_paths(self, machine: Machine) -> None:
        """A workspace is the same by every path that leads to it."""
        shop = machine.made("shop")
        machine.made("shop/src")
        machine.made("shop/.git")
        (machine.home / "way").symlink_to(shop)
        found = machine.places(machine.home / "way").find(str(machine.home / "way/src/../src"))
        assert found == WorkingDirectory(str(shop / "src"), str(shop))

    def test_home(self, machine: Machine) -> None:
        """The home is none, though it may be a repository of its own; and what lies in it is not of that one."""
        machine.made(".git")
        inside = machine.made("inside")
        assert machine.places().find(str(machine.home)) == WorkingDirectory(str(machine.home), "")
        assert machine.places().find(str(inside)).root == str(inside)
        assert machine.places().find("/") == WorkingDirectory("/", "")

    def test_project(self, machine: Machine) -> None:
        """Directories in a project's are the project's, by every path; of a home only the home itself."""
        deep, shop, other = machine.made("shop/src"), machine.home / "shop", machine.made("shopping")
        (machine.home / "way").symlink_to(shop)
        places = machine.places()
        for way in (shop, machine.home / "way"):
            found = [places.lies_in(str(each), str(way)) for each in (shop, deep, other, machine.home)]
            assert found == [True, True, False, False]
        assert places.lies_in(str(machine.home), str(machine.home))
        for each in (str(shop), "", "/"):
            assert not places.lies_in(each, str(machine.home))
            assert not places.lies_in(each, "/no/such")

    @pytest.mark.parametrize("path", ["", "x", "./x", "~", "/no/such", "/dev/null", "/\0", "/" + "x" * 5000])
    def test_nowhere(self, machine: Machine, path: str) -> None:
        """A text that names no directory is no workspace."""
        assert machine.places().find(path) is NOWHERE

    def test_not_ours_to_read(self, machine: Machine) -> None:
        """A directory that we may not look into is no place."""
        if os.geteuid() == 0:
            pytest.skip("root may look everywhere")
        shop = machine.made("shop")
        shop.chmod(0)
        try:
            assert machine.places().find(str(shop)) is NOWHERE
        finally:
            shop.chmod(0o700)

    def test_strange_bytes(self, machine: Machine) -> None:
        """A directory whose name is no text is no place."""
        path = os.fsencode(machine.home) + b"/\xff"
        os.mkdir(path)
        assert machine.places().find(os.fsdecode(path)) is NOWHERE

    def test_believed_for_a_while(self, machine: Machine) -> None:
        """A workspace that was found is believed for a moment, and then looked up again."""
        src, places = machine.made("shop/src"), machine.places()
        assert places.find(str(src)).root == str(src)
        machine.made("shop/.git")
        assert places.find(str(src)).root == str(src)
        machine.clock.advance(FRESH_S)
        assert places.find(str(src)).root == str(machine.home / "shop")

    def test_only_so_many_are_remembered(self, machine: Machine) -> None:
        """However many places are named, few are kept."""
        places = machine.places()
        for number in range(2 * KEPT + 2):
            places.find(f"/no/{number}")
        assert len(places._found) <= KEPT

    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(st.lists(st.sampled_from(["a", "b", ".git", "..", "."]), max_size=6), st.integers(0, 3))
    def test_contains(self, machine: Machine, steps: list[str], nth: int) -> None:
        """A root is a real path that contains the directory."""
        for each in ("a/b/a", "a/.git", "b/b/.git", "b/a/b"):
            machine.made(each)
        configured = [machine.home / "b", machine.home / "a/b", machine.home][:nth]
        found = machine.places(*configured).find("/".join([str(machine.home), *steps]))
        if found is not NOWHERE:
            assert os.path.realpath(found.directory) == found.directory
            assert not found.root or os.path.commonpath([found.root, found.directory]) == found.root


class ProcessTests:
    """Where a process works."""

    def test_ourselves(self, machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
        """The directory of this process is read from the kernel's table."""
        shop = machine.made("shop")
        monkeypatch.chdir(shop)
        assert machine.places().of_process(os.getpid()) == WorkingDirectory(str(shop), str(shop))

    def test_none(self, machine: Machine) -> None:
        """A process that does not exist works nowhere."""
        assert machine.places().of_process(2**22 + 1) is NOWHERE

    @pytest.mark.parametrize(
        ("root", "cwd", "is_place"), [("/", "shop", True), ("shop", "shop", False), ("/", "gone", False)]
    )
    def test_other_files(self, machine: Machine, root: str, cwd: str, is_place: bool) -> None:  # noqa: FBT001
        """A process that sees other files than we do works at no place of ours; nor in a directory that is gone."""
        shop = machine.made("shop")
        table = machine.made("proc/7")
        (table / "root").symlink_to("/" if root == "/" else shop)
        (table / "cwd").symlink_to(shop if cwd == "shop" else f"{shop} (deleted)")
        found = machine.places(proc=str(machine.home / "proc")).of_process(7)
        assert (found.root == str(shop)) is is_place


class KeptTests:
    """The parsed content of a file."""

    def test_until_it_changes(self, tmp_path: Path) -> None:
        """A parsed file is parsed anew when the file changes, comes or goes, and not before."""
        file, made = (
            tmp_path / ".env",
            ParsedFile(lambda path: [Path(path).exists() and Path(path).read_text()]),
        )
        seen = [made.get(str(file))]
        for text in ("a", "bb", None, "c"):
            if text is None:
                file.unlink()
            else:
                file.write_text(text)
            assert made.get(str(file)) == [text or False]
            assert made.get(str(file)) is made.get(str(file))
            assert all(made.get(str(file)) is not each for each in seen)
            seen.append(made.get(str(file)))

    def test_leads_elsewhere(self, tmp_path: Path) -> None:
        """A file that is a link to another directory's is not read; one to its own is."""
        (tmp_path / "shop").mkdir()
        (tmp_path / "secret").write_text("x")
        (tmp_path / "shop/.env").symlink_to("../secret")
        kept = ParsedFile(lambda path: Path(path).read_text())
        with pytest.raises(ConfigError, match="leads out of its workspace"):
            kept.get(str(tmp_path / "shop/.env"))
        assert kept.get(str(tmp_path / "shop/.env"), is_trusted=True) == "x"
        (tmp_path / "shop/.env").unlink()
        (tmp_path / "shop/.env").symlink_to("own")
        (tmp_path / "shop/own").write_text("y")
        assert kept.get(str(tmp_path / "shop/.env")) == "y"

    def test_writable_by_others(self, tmp_path: Path) -> None:
        """A file that everybody can write to is not read."""
        file = tmp_path / ".env"
        file.write_text("x")
        file.chmod(0o666)
        with pytest.raises(ConfigError, match="can be written by other users"):
            ParsedFile(lambda path: Path(path).read_text()).get(str(file))
