"""The shim finds the gateway where the gateway says it is."""

import os
import pwd
import stat

import pytest

from mcpgateway.errors import ConfigError
from mcpgateway.frontends.http import listeners
from mcpgateway.shim import locations
from mcpgateway.shim.locations import Unusable, token_of
from mcpgateway.shim.startup import make_directory
from mcpgateway.system import paths


class HomeTests:
    """The gateway's directory."""

    @pytest.mark.parametrize(
        "chosen", [None, "/a/b", "~", "~/x", "rel/../x", "/a//b/./../c", "//a", "/", "x/"]
    )
    @pytest.mark.parametrize("environ", [{"HOME": "/h"}, {"HOME": "/h", "MCPGATEWAY_HOME": "~/other"}])
    def test_the_same_as_the_gateway(self, chosen, environ):
        """The shim and the gateway read options and environment alike."""
        assert locations.gateway_home(environ, chosen) == paths.gateway_home(environ, chosen)

    def test_without_a_home(self):
        """A user without HOME has the one that the system knows."""
        assert locations.gateway_home({}, None) == pwd.getpwuid(os.getuid()).pw_dir + "/.mcp-gateway"

    def test_a_user_whom_nobody_knows(self, monkeypatch):
        """Without HOME, a user without an entry in the system has no home that could be used."""
        monkeypatch.setattr("posix.getuid", lambda: 2**31 - 7)
        with pytest.raises(Unusable, match="HOME is not set"):
            locations.gateway_home({}, None)


class SocketTests:
    """The Unix socket."""

    @pytest.mark.parametrize("length", [10, 80, 90, 200])
    @pytest.mark.parametrize("variable", ["XDG_RUNTIME_DIR", "TMPDIR"])
    def test_the_same_as_the_gateway(self, tmp_path, monkeypatch, length, variable):
        """The shim and the gateway find the same socket, also where a long path needs a short one."""
        monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
        monkeypatch.setattr("tempfile.tempdir", None)
        monkeypatch.setenv(variable, str(tmp_path))
        home = "/h" + "x" * length
        assert locations.socket_path(
            locations.environment() | dict(os.environ), home
        ) == listeners.socket_path(home)

    @pytest.mark.parametrize("kind", ["everybody's", "a link", "a file", "another user's"])
    def test_a_directory_of_others(self, tmp_path, monkeypatch, kind):
        """The shim and the gateway use no socket in a directory that another user can write to."""
        monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
        monkeypatch.setattr("tempfile.tempdir", None)
        monkeypatch.setenv("TMPDIR", str(tmp_path))
        place = tmp_path / f"mcpgateway-{os.getuid()}"
        if kind == "a file":
            place.touch()
        elif kind == "a link":
            place.symlink_to(tmp_path)
        else:
            place.mkdir()
            place.chmod(0o777 if kind == "everybody's" else 0o700)
        if kind == "another user's":
            if os.geteuid() != 0:
                pytest.skip("only root can give a directory away")
            os.chown(place, 65534, 65534)
        home = "/h" + "x" * 200
        with pytest.raises(
            Unusable, match=f"{place} is not a directory of yours alone; choose a shorter --home"
        ):
            locations.socket_path(locations.environment() | dict(os.environ), home)
        with pytest.raises((ConfigError, FileExistsError)):
            listeners.socket_path(home)

    def test_a_missing_directory(self, tmp_path):
        """A missing directory of the socket is made private before another user can make it."""
        locations.socket_path({"TMPDIR": str(tmp_path)}, "/h" + "x" * 200)
        assert stat.S_IMODE((tmp_path / f"mcpgateway-{os.getuid()}").stat().st_mode) == 0o700


class UrlTests:
    """The gateway's address."""

    @pytest.mark.parametrize(
        ("url", "where", "host", "prefix"),
        [
            ("http://127.0.0.1:9100", ("127.0.0.1", 9100), b"127.0.0.1:9100", b""),
            ("http://localhost:9100/", ("127.0.0.1", 9100), b"localhost:9100", b""),
            ("HTTP://127.0.0.1/a/b/", ("127.0.0.1", 80), b"127.0.0.1", b"/a/b"),
        ],
    )
    def test_spellings(self, url, where, host, prefix):
        """An address may have a path, and may lack a port."""
        address = locations.address_of({}, "/h", url)
        assert (address.where, address.host, address.prefix, address.is_own) == (where, host, prefix, False)

    def test_the_environment(self):
        """The variable counts where no option does."""
        assert locations.address_of({"MCP_GATEWAY_URL": "http://127.0.0.1:1"}, "/h", None).where == (
            "127.0.0.1",
            1,
        )
        assert locations.address_of({}, "/h", None).where == "/h/gateway.sock"

    @pytest.mark.parametrize(
        "url",
        [
            "https://x",
            "x",
            "http://",
            "http://h:x",
            "http://h:0",
            "http://h:99999",
            "http://a@h:1",
            "http://h\r\nX:1",
        ],
    )
    def test_nonsense(self, url):
        """A text that is no address is refused with a reason."""
        with pytest.raises(Unusable, match="--url"):
            locations.address_of({}, "/h", url)


class TokenTests:
    """The token file."""

    def test_a_token(self, tmp_path):
        """A token is read without the end of its line."""
        (tmp_path / "t").write_text("secret\n")
        assert token_of(str(tmp_path / "t")) == b"secret"
        assert token_of(None) == b""

    def test_from_the_environment(self, tmp_path):
        """Where no file is named, it is the environment's; one that is none is refused without being shown."""
        (tmp_path / "t").write_text("secret\n")
        assert token_of(None, "given") == b"given"
        assert token_of(str(tmp_path / "t"), "given") == b"secret"
        with pytest.raises(Unusable, match=r"^MCPGATEWAY_AUTH_TOKEN: it is no token$"):
            token_of(None, "a\r\nb")

    @pytest.mark.parametrize("text", ["", "a b", "a\nb"])
    def test_none(self, tmp_path, text):
        """A file that holds no token is refused, without showing what it holds."""
        (tmp_path / "t").write_text(text)
        with pytest.raises(Unusable, match="holds no token"):
            token_of(str(tmp_path / "t"))

    def test_no_file(self, tmp_path):
        """A file that is not there is named."""
        with pytest.raises(Unusable, match="nowhere"):
            token_of(str(tmp_path / "nowhere"))


class DirectoryTests:
    """The home, where there is none yet."""

    def test_it_is_private(self, tmp_path):
        """Directories are made for the user alone."""
        make_directory(str(tmp_path / "a" / "b"))
        make_directory(str(tmp_path / "a" / "b"))
        assert {stat.S_IMODE((tmp_path / each).stat().st_mode) for each in ("a", "a/b")} == {0o700}

    def test_it_cannot_be_made(self, tmp_path):
        """A link to nowhere and a file system without directories of users are errors."""
        (tmp_path / "link").symlink_to(tmp_path / "nowhere")
        for path in (tmp_path / "link" / "logs", "/proc/nowhere/home"):
            with pytest.raises(OSError, match="No such file"):
                make_directory(str(path))
