"""The files that service managers are given."""

from __future__ import annotations

import plistlib
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpgateway.cli.service.units import ServiceSettings, launchd_agents, systemd_units, template
from mcpgateway.errors import ConfigError
from mcpgateway.system.service_files import LAUNCHD, SYSTEMD, is_ours, serves

printable = st.text(st.characters(exclude_categories=("C", "Z")), min_size=1).filter(str.isprintable)
PLACE = ServiceSettings("/h", "/venv/bin/python", {})


class TemplateTests:
    """The templates of the package."""

    @pytest.mark.parametrize("name", SYSTEMD)
    def test_tap_has_the_same_for_systemd(self, name: str) -> None:
        """The files for those who copy by hand are those that are installed."""
        tap = Path(__file__).resolve().parents[3] / "tap" / "systemd"
        assert (tap / name).read_text() == template(name)
        assert {each.name for each in tap.iterdir()} == set(SYSTEMD)

    @pytest.mark.parametrize("name", LAUNCHD)
    def test_tap_has_the_same_for_launchd(self, name: str) -> None:
        """The same for macOS."""
        tap = Path(__file__).resolve().parents[3] / "tap" / "launchd"
        assert (tap / name).read_text() == template(name)
        assert {each.name for each in tap.iterdir()} == set(LAUNCHD)


class PlaceTests:
    """The settings of the service."""

    def test_here(self) -> None:
        """A service runs this interpreter, and gets only the variables that lead to the gateway's files, absolute."""
        environ = {"HOME": "/me", "CLAUDE_CONFIG_DIR": "~/c", "MCPGATEWAY_CONFIG": "", "TOKEN": "x"}
        place = ServiceSettings.here("/h", environ)
        assert (place.python, dict(place.environ)) == (sys.executable, {"CLAUDE_CONFIG_DIR": "/me/c"})

    @pytest.mark.parametrize("path", ["/h\nExecStartPre=evil", "/\udcff", "/\x7f"])
    def test_what_cannot_be_written(self, path: str) -> None:
        """A path that would break out of its line is refused."""
        with pytest.raises(ConfigError, match="cannot stand in the file"):
            ServiceSettings.here(path, {})
        with pytest.raises(ConfigError):
            ServiceSettings.here("/h", {"CLAUDE_CONFIG_DIR": path})

    def test_the_program(self, tmp_path: Path) -> None:
        """The dead man is the program beside the interpreter, or where it lies elsewhere the interpreter itself."""
        python = tmp_path / "python"
        assert ServiceSettings("/h", str(python), {}).deadman()[:3] == [str(python), "-P", "-c"]
        (tmp_path / "mcpgateway").touch(0o755)
        said = ServiceSettings("/h", str(python), {}).deadman()
        assert said == [str(tmp_path / "mcpgateway"), "--home", "/h", "clients", "deadman"]


class SystemdTests:
    """Units."""

    def test_three(self) -> None:
        """The gateway, the dead man and his timer; each begins with its first section."""
        units = systemd_units(PLACE, "/units")
        assert [unit.path for unit in units] == [f"/units/{name}" for name in SYSTEMD]
        assert all(unit.text.startswith("[Unit]\n") for unit in units)

    def test_they_start_this_installation(self) -> None:
        """The interpreter and the home stand in the place of those in the template."""
        gateway, deadman, timer = (unit.text for unit in systemd_units(PLACE, "/units"))
        assert (
            "\nExecStart=/venv/bin/python -P -m mcpgateway.app.twisted_runner twist --log-format=text"
            " mcpgateway --home /h\n" in gateway
        )
        assert "clients deadman\n" in deadman
        assert "%h" not in gateway + deadman + timer

    @given(printable, printable)
    def test_any_path(self, home: str, value: str) -> None:
        """A path of any characters is read by systemd as it was meant: its specifiers are doubled."""
        place = ServiceSettings(f"/{home}", "/p", {"CLAUDE_CONFIG_DIR": f"/{value}"})
        lines = systemd_units(place, "/units")[0].text.split("\n")
        started = next(line for line in lines if line.startswith("ExecStart="))
        assert words(started.partition("=")[2], variables=True)[-1] == f"/{home}"
        given = next(line for line in lines if line.startswith("Environment="))
        assert words(given.partition("=")[2]) == [f"CLAUDE_CONFIG_DIR=/{value}"]


class LaunchdTests:
    """Agents."""

    @given(printable)
    def test_any_path(self, home: str) -> None:
        """The agents are property lists with the interpreter and the home in them, whatever they are called."""
        place = ServiceSettings(f"/{home}", "/p", {"CLAUDE_CONFIG_DIR": f"/{home}"})
        gateway, deadman = (plistlib.loads(unit.text.encode()) for unit in launchd_agents(place, "/a"))
        assert gateway["ProgramArguments"] == place.gateway()
        assert gateway["EnvironmentVariables"] == {"CLAUDE_CONFIG_DIR": f"/{home}"}
        assert gateway["RunAtLoad"] is True
        assert deadman["ProgramArguments"] == place.deadman()
        assert deadman["StartInterval"] == 60

    def test_no_variables(self) -> None:
        """Without variables there is no empty key for them."""
        assert "EnvironmentVariables" not in launchd_agents(PLACE, "/a")[0].text


class SealTests:
    """The seal by which units of ours are known."""

    @given(printable)
    def test_ours(self, home: str) -> None:
        """A unit of ours is known, for its home and no other."""
        place = ServiceSettings(f"/{home}", "/p", {})
        for unit in (*systemd_units(place, "/u"), *launchd_agents(place, "/a")):
            assert is_ours(unit.text)
            assert serves(unit.text, f"/{home}")
            assert not serves(unit.text, f"/{home}/other")

    @pytest.mark.parametrize("at", [0, 50, -200])
    def test_changed(self, at: int) -> None:
        """A changed unit is somebody else's, though its home is still known."""
        for unit in (*systemd_units(PLACE, "/u"), *launchd_agents(PLACE, "/a")):
            text = unit.text[:at] + "x" + unit.text[at:]
            assert not is_ours(text)
            assert serves(text, "/h")
            assert not serves(text, "/other")

    @pytest.mark.parametrize("name", [*SYSTEMD, *LAUNCHD])
    def test_copied_by_hand(self, name: str) -> None:
        """A template that was copied is not ours, and for any home."""
        assert not is_ours(template(name))
        assert serves(template(name), "/any")


def words(line: str, *, variables: bool = False) -> list[str]:
    """The words of a line as systemd reads them: quotes, escapes, and what is doubled to stand for itself."""
    found, word, is_quoted = [], "", False
    letters = iter(line)
    for letter in letters:
        if letter == "\\":
            word += next(letters)
        elif letter == '"':
            is_quoted = not is_quoted
        elif letter == " " and not is_quoted:
            found.append(word)
            word = ""
        elif letter == "%" or (letter == "$" and variables):
            assert next(letters) == letter
            word += letter
        else:
            word += letter
    return [*found, word]
