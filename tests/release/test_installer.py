"""install.sh: the release it takes, what it writes, and that it leaves nothing behind."""

from __future__ import annotations

import os
import shutil
import subprocess
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from tests.support.real_servers import ROOT
from tests.support.releases import LONG
from tests.support.standin import PROGRAMS, write_release
from tests.support.terminal import Terminal

INSTALLER = ROOT / "install.sh"
BASHRC = b"# mine\ncase $- in *i*) ;; *) return ;; esac\nalias ll='ls -l'"  # without an end of its last line
TOOLS = (
    *(
        "awk",
        "basename",
        "cat",
        "cp",
        "cut",
        "dirname",
        "env",
        "grep",
        "head",
        "id",
        "ln",
        "mkdir",
        "mktemp",
        "mv",
    ),
    *("openssl", "readlink", "rm", "sed", "sh", "sha256sum", "tail", "uname", "wc"),
)


class Account:
    """A user with a home of its own, for whom only the named programs exist."""

    def __init__(self, folder: Path, *tools: str) -> None:
        self.home, self.programs = folder / "a home", folder / "programs"
        self.home.mkdir()
        self.programs.mkdir()
        for name in (*TOOLS, *tools):
            found = shutil.which(name, path="/usr/bin:/bin")
            assert found, name
            (self.programs / name).symlink_to(found)

    def ran(
        self, *argv: str | Path, path: str = "", typed: str = "", **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a program as the user."""
        return subprocess.run(
            argv,
            env={**self.environ(path), **variables},
            cwd=self.home,
            check=False,
            capture_output=True,
            text=True,
            timeout=300,
            input=typed,
        )

    def environ(self, path: str = "") -> dict[str, str]:
        """The user's environment."""
        home, programs = str(self.home), path or str(self.programs)
        return {"HOME": home, "PATH": programs, "SHELL": "/bin/bash", "PIP_NO_INDEX": "1"}

    def piped(self, *options: str | Path) -> subprocess.CompletedProcess[str]:
        """Run the installer from a pipe."""
        return self.ran("/bin/sh", "-s", "--", *options, typed=INSTALLER.read_text())

    def install(self, *options: str | Path) -> subprocess.CompletedProcess[str]:
        """Run the installer."""
        return self.ran("/bin/sh", INSTALLER, *options)

    def files(self) -> dict[str, bytes]:
        """Every file of the home."""
        found = (each for each in self.home.rglob("*") if each.is_file())
        return {str(each.relative_to(self.home)): each.read_bytes() for each in found}

    @property
    def asked(self) -> list[str]:
        """The command lines of the installed program since the last look."""
        file = self.home / "asked"
        lines = file.read_text().splitlines() if file.exists() else []
        file.unlink(missing_ok=True)
        return [each for each in lines if each != "--version"]


@pytest.fixture
def account(tmp_path: Path) -> Account:
    """A user who has Debian's Python."""
    if not Path("/usr/bin/python3").exists():
        pytest.skip("there is no python3 of the distribution")
    return Account(tmp_path, "python3")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a release."""
    write_release(tmp_path / "the release", "9.9.9")
    return tmp_path / "the release"


class ScriptTests:
    """The text of the script."""

    def test_shellcheck(self) -> None:
        """shellcheck has nothing to say."""
        if shutil.which("shellcheck") is None:
            pytest.skip("there is no shellcheck")
        done = subprocess.run(
            ["shellcheck", INSTALLER], check=False, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stdout

    def test_cut_off(self) -> None:
        """Nothing runs before the last line, so a script that a network has cut off does nothing."""
        first, *functions = INSTALLER.read_text().split("\nmain() {\n")
        assert len(functions) == 1
        assert functions[0].endswith('\nmain "$@"\n')
        lines = [each for each in first.splitlines() if each and not each.startswith("#")]
        assert all("=" in each or each == "set -eu" for each in lines)


class LifeTests:
    """A program from its installation to its removal."""

    def test_all(self, account: Account, folder: Path) -> None:
        """It is installed, found by new shells, left alone, upgraded, and removed without a trace.

        It stays where the files of clients cannot be restored, since they name it.
        """
        (account.home / ".bashrc").write_bytes(BASHRC)
        (account.home / ".bashrc").chmod(0o600)
        before = account.files()

        done = account.install("--from", folder)
        assert done.returncode == 0, done.stderr
        assert "Installing mcpgateway 9.9.9" in done.stdout
        assert done.stdout.endswith("Next: mcpgateway start\n")
        assert account.asked == ["status --json"]
        for name in PROGRAMS:
            found = account.ran("/bin/bash", "-lc", f"{name} --version", path="/usr/bin:/bin")
            assert found.stdout == "mcpgateway 9.9.9\n", found.stderr
        assert (account.home / ".bashrc").read_bytes().endswith(BASHRC)
        assert (account.home / ".bashrc").stat().st_mode & 0o777 == 0o600

        installed = account.files()
        again = account.install("--from", folder, "--no-service", "--yes")
        assert "mcpgateway 9.9.9 is installed already" in again.stdout
        assert account.asked == ["start --yes"]
        assert account.files().keys() <= installed.keys() | {"asked"}

        write_release(folder, "9.9.10")
        (account.home / "runs").touch()
        done = account.install("--from", folder, "--version", "9.9.10")
        assert done.returncode == 0
        assert done.stdout.endswith("Its gateway runs: mcpgateway status\n")
        assert account.asked == ["status --json", "restart", "status --json"]
        (account.home / "runs").unlink()
        assert account.install("--from", folder, "--version", "9.9.9", "--version").stdout == "9.9.9\n"
        assert "has several releases" in account.install("--from", folder).stderr
        installed = account.files()

        (account.home / "cannot restore").touch()
        refused = account.install("--uninstall", "--yes")
        assert refused.returncode == 1
        assert refused.stderr == "install.sh: mcpgateway stays\n"
        assert account.asked == ["uninstall --yes"]
        assert account.files().keys() == installed.keys() | {"cannot restore"}
        (account.home / "cannot restore").unlink()

        removed = account.install("--uninstall")
        assert removed.returncode == 0, removed.stderr
        assert account.asked == ["uninstall --keep-home"]
        assert account.files() == before
        assert (account.home / ".bashrc").stat().st_mode & 0o777 == 0o600
        assert account.install("--uninstall").stdout == "mcpgateway is not installed.\n"


class ShellTests:
    """Shells that read no startup file which the script could write."""

    def test_the_way(self, account: Account, folder: Path) -> None:
        """The script writes no file for them, and says how they find the program."""
        for variables, way in (
            ({"SHELL": "/usr/bin/fish"}, "fish_add_path $HOME/.local/bin"),
            ({"SHELL": "/bin/tcsh"}, "add $HOME/.local/bin to its PATH"),
            ({"SHELL": "/bin/zsh", "ZDOTDIR": "/elsewhere"}, "add $HOME/.local/bin to its PATH"),
        ):
            done = account.ran("/bin/sh", INSTALLER, "--from", folder, **variables)
            assert f"To have your shell find mcpgateway: {way}\n" in done.stdout, done.stderr
        assert not [each for each in account.files() if not each.startswith((".local", "asked"))]


class BareTests:
    """Environments without the variables that a login sets, such as those of a container."""

    def test_no_shell(self, account: Account, folder: Path) -> None:
        """Without the name of a shell, the file of every sh is written."""
        without = ("/usr/bin/env", "--unset=SHELL")
        done = account.ran(*without, "/bin/sh", INSTALLER, "--from", folder)
        assert done.returncode == 0, done.stderr
        found = account.ran("/bin/sh", "-lc", "mcpgateway --version", path="/usr/bin:/bin")
        assert found.stdout == "mcpgateway 9.9.9\n", found.stderr

    def test_no_home(self, account: Account) -> None:
        """Without a home, the script says so and does nothing."""
        done = account.ran("/usr/bin/env", "--unset=HOME", "/bin/sh", INSTALLER, "--version")
        assert done.returncode == 2
        assert "HOME: is not set, so there is no place for the program" in done.stderr


class OfferTests:
    """The script on a terminal."""

    def test_start(self, account: Account, folder: Path) -> None:
        """It asks once whether to start the gateway, which then asks itself about the service and the clients."""
        account.install("--from", folder)
        for options, key, asked in (
            ([], "y", ["start"]),
            ([], "", []),
            (["--no-service"], "y", ["start --adopt never", "clients apply"]),
        ):
            assert account.asked[0] == "status --json"
            argv = ["/bin/sh", str(INSTALLER), "--from", str(folder), *options]
            terminal = Terminal(argv, account.environ())
            assert terminal.shows(r"Start the gateway now\?.*\[y/N\]: ")
            terminal.type(f"{key}\n")
            assert terminal.ended() == 0
            assert account.asked[1:] == asked
            assert ("Next: mcpgateway start" in terminal.text) is not bool(asked)
            account.install("--from", folder)
        account.asked.clear()
        removing = Terminal(["/bin/sh", str(INSTALLER), "--uninstall"], account.environ())
        assert removing.ended() == 0
        assert account.asked[-1] == "uninstall"


class PipeTests:
    """The script as ``curl … | sh`` runs it."""

    @LONG
    def test_from_an_address(self, tmp_path: Path, folder: Path) -> None:
        """The release is fetched from its address, and so is the script, which then removes the program."""
        account = Account(tmp_path, "python3", "curl")
        shutil.copy(INSTALLER, folder)
        handler = partial(SimpleHTTPRequestHandler, directory=str(folder))
        with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
            Thread(target=server.serve_forever, daemon=True).start()
            place = f"http://127.0.0.1:{server.server_port}"
            assert "which release is it?" in account.piped("--from", place).stderr
            assert "cannot be had" in account.piped("--from", place, "--version", "1.2.3").stderr
            done = account.piped("--from", place, "--version", "9.9.9")
            server.shutdown()
        assert done.returncode == 0, done.stderr
        kept = account.home / ".local" / "share" / "mcpgateway-installer" / "install.sh"
        removed = account.ran("/bin/sh", kept, "--uninstall")
        assert removed.stdout.endswith("mcpgateway is removed.\n"), removed.stderr
        assert account.files().keys() == {"asked"}


class FailureTests:
    """Releases whose installation fails on its way."""

    def test_a_first_one(self, account: Account, folder: Path) -> None:
        """Nothing is left of it."""
        write_release(folder, "9.9.10", needs="nowhere-to-be-had")
        failed = account.install("--from", folder, "--version", "9.9.10")
        assert failed.returncode == 1
        assert failed.stderr.endswith("install.sh: pip failed\nNothing was installed.\n")
        assert account.files() == {}

    def test_an_upgrade(self, account: Account, folder: Path) -> None:
        """The release that was there goes on."""
        assert account.install("--from", folder).returncode == 0
        write_release(folder, "9.9.10", needs="nowhere-to-be-had")
        failed = account.install("--from", folder, "--version", "9.9.10")
        assert failed.stderr.endswith("mcpgateway 9.9.9 stays installed.\n")
        found = account.ran("/bin/bash", "-lc", "mcpgateway --version", path="/usr/bin:/bin")
        assert found.stdout == "mcpgateway 9.9.9\n"

    def test_half_of_one(self, account: Account, folder: Path) -> None:
        """An installation that was killed is removed, although its program does not run."""
        assert account.install("--from", folder).returncode == 0
        for each in (account.home / ".local").rglob("mcpg*"):
            if each.is_symlink() or each.parent.name == "bin":
                each.unlink()
        removed = account.install("--uninstall", "--yes")
        assert removed.stdout.endswith("mcpgateway is removed.\n"), removed.stderr
        assert account.files().keys() == {"asked"}


class RefusalTests:
    """Releases that are not installed."""

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root is what sudo makes of a user")
    def test_sudo(self, account: Account, folder: Path) -> None:
        """By sudo it would be installed for root, whose clients are not the user's."""
        done = account.ran("/bin/sh", INSTALLER, "--from", folder, SUDO_USER="user")
        assert "Run install.sh without sudo." in done.stderr
        assert account.files() == {}

    @pytest.mark.parametrize("line", ["0" * 64 + "  mcpgateway-9.9.9-py3-none-any.whl\n", "", None])
    def test_another_content(self, account: Account, folder: Path, line: str | None) -> None:
        """A wheel that has not the checksum of its release, or has none, is not installed."""
        if line is None:
            (folder / "checksums.txt").unlink()
        else:
            (folder / "checksums.txt").write_text(line)
        done = account.install("--from", folder)
        assert done.returncode == 1
        assert "mcpgateway-9.9.9-py3-none-any.whl" in done.stderr or "cannot be verified" in done.stderr
        assert account.files() == {}

    def test_the_checksum_of_the_script(self, account: Account, folder: Path) -> None:
        """The script of a release has the checksum itself, and does not believe another beside the wheel."""
        text = INSTALLER.read_text().replace(
            "\nVERSION=''\nSHA256=''", f"\nVERSION='9.9.9'\nSHA256='{'1' * 64}'"
        )
        (folder / "install.sh").write_text(text)
        done = account.ran("/bin/sh", folder / "install.sh")
        assert done.returncode == 1
        assert f"and should be {'1' * 64}" in done.stderr
        write_release(folder.with_name("older"), "9.9.8")
        done = account.ran("/bin/sh", folder / "install.sh", "--from", folder.with_name("older"))
        assert "has mcpgateway 9.9.8, not 9.9.9" in done.stderr
        assert account.files() == {}

    def test_another_program(self, account: Account, folder: Path) -> None:
        """A program of the same name is not replaced."""
        other = account.home / ".local" / "bin" / "mcpgateway"
        other.parent.mkdir(parents=True)
        other.write_text("#!/bin/sh\n")
        done = account.install("--from", folder)
        assert done.returncode == 1
        assert f"{other}: is another program's" in done.stderr
        assert account.files() == {".local/bin/mcpgateway": b"#!/bin/sh\n"}

    def test_no_python(self, tmp_path: Path, folder: Path) -> None:
        """Without Python, uv and pipx the script says which command helps."""
        account = Account(tmp_path, *(["apt-get"] if shutil.which("apt-get") else []))
        done = account.install("--from", folder)
        assert done.returncode == 1
        assert "Python 3.11 or newer, uv or pipx is needed" in done.stderr
        assert "Install one" in done.stderr

    @pytest.mark.parametrize(
        "options", [("--fly",), ("--from",), ("--from", "/nowhere"), ("--from", "http://example.org/x")]
    )
    def test_options(self, account: Account, options: tuple[str, ...]) -> None:
        """A wrong option changes nothing, and the message names it."""
        done = account.install(*options)
        assert done.returncode in {1, 64}
        assert options[-1] in done.stderr
        assert account.files() == {}
