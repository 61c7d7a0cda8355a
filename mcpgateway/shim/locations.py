"""The places of the gateway: its home, its Unix socket, its address; they agree with `mcpgateway.system.paths`."""

from __future__ import annotations

import _socket
import posix

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

HOME_VARIABLE = "MCPGATEWAY_HOME"
URL_VARIABLE = "MCPGATEWAY_URL"
TOKEN_VARIABLE = "MCPGATEWAY_AUTH_TOKEN"  # noqa: S105 - its name
OWN_PREFIX, OLDER_PREFIX = "MCPGATEWAY_", "MCP_GATEWAY_"  # other gateways have the latter
SOCKET_PATH_LIMIT = 100  # bytes; sun_path holds 108 on Linux and 104 on macOS
PLAIN = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~")
TOKEN_LIMIT = 4096
VISIBLE = frozenset(range(0x21, 0x7F))
TEMPORARY = ("/tmp", "/var/tmp", "/usr/tmp")  # noqa: S108  # the directories that `tempfile` tries as well


class Unusable(Exception):
    """The gateway's home, URL or token cannot be used; the text gives the reason."""


class GatewayAddress:
    """The address of a gateway.

    :ivar family: the address family of the socket.
    :ivar where: the argument of `connect`.
    :ivar host: the value of the ``Host`` header.
    :ivar prefix: the prefix of every path.
    :ivar is_own: the gateway is that of the home, which may be started when it is away.
    """

    __slots__ = ("family", "host", "is_own", "prefix", "where")

    def __init__(
        self, family: int, where: str | tuple[Any, ...], host: bytes, prefix: bytes, *, is_own: bool
    ) -> None:
        self.family = family
        self.where = where
        self.host = host
        self.prefix = prefix
        self.is_own = is_own


def environment() -> dict[str, str]:
    """Return the environment as texts."""
    return {_text(name): _text(value) for name, value in posix.environ.items()}


def _text(value: bytes) -> str:
    return value.decode(errors="surrogateescape")


def variable(environ: Mapping[str, str], name: str) -> str:
    """Return the value of a variable of the gateway, also by its older name; empty if it is not set."""
    return environ.get(name, "") or environ.get(older(name), "")


def older(name: str) -> str:
    """Return the older name of a variable, with ``MCP_GATEWAY_``."""
    return OLDER_PREFIX + name[len(OWN_PREFIX) :]


def gateway_home(environ: Mapping[str, str], chosen: str | None) -> str:
    """Return the gateway's own directory: the chosen one, ``MCPGATEWAY_HOME``, or ``~/.mcp-gateway``.

    :raise Unusable: the directory is relative to one that is unknown.
    """
    home = chosen or environ.get(HOME_VARIABLE)
    return _absolute(home or "~/.mcp-gateway", environ)


def _absolute(path: str, environ: Mapping[str, str]) -> str:
    if path == "~" or path.startswith("~/"):
        path = _user_home(environ) + path[1:]
    return _normal(path if path.startswith("/") else _working_directory(path) + "/" + path)


def _working_directory(wanted_for: str) -> str:
    try:
        return posix.getcwd()
    except OSError as why:
        raise Unusable(f"{wanted_for}: the working directory: {why.strerror}") from why


def _user_home(environ: Mapping[str, str]) -> str:
    home = environ.get("HOME")
    if not home:
        import pwd  # a daemon of the system may have no HOME

        try:
            home = pwd.getpwuid(posix.getuid()).pw_dir
        except KeyError as why:
            raise Unusable("HOME is not set, and the system knows no home of this user") from why
    return home


def _normal(path: str) -> str:
    parts: list[str] = []
    for part in path.split("/"):
        if part == ".." and parts:
            parts.pop()
        elif part not in ("", ".", ".."):
            parts.append(part)
    # POSIX leaves the meaning of two leading slashes to the system.
    root = "//" if path.startswith("//") and not path.startswith("///") else "/"
    return root + "/".join(parts)


def socket_path(environ: Mapping[str, str], home: str) -> str:
    """Return the path of the Unix socket: in the home, or in a short private directory where that path is too long.

    :raise Unusable: that directory is not the user's own, so another user may listen there.
    """
    path = home.rstrip("/") + "/gateway.sock"
    if len(path.encode(errors="surrogateescape")) <= SOCKET_PATH_LIMIT:
        return path
    base = environ.get("XDG_RUNTIME_DIR") or f"{_temporary(environ)}/mcpgateway-{posix.getuid()}"
    if not _is_private(base):
        raise Unusable(f"{base} is not a directory of yours alone; choose a shorter --home than {home}")
    return f"{base.rstrip('/')}/{_digest(home)[:16]}.sock"


def _is_private(directory: str) -> bool:
    # Made here where it is missing, so that no other user can make it before the shim connects.
    try:
        posix.mkdir(directory, 0o700)
    except OSError:
        pass
    try:
        found = posix.lstat(directory)
    except OSError:
        return True  # and it is empty
    is_directory = found.st_mode & 0o170000 == 0o040000
    return is_directory and found.st_uid == posix.getuid() and not found.st_mode & 0o022


def _temporary(environ: Mapping[str, str]) -> str:
    named = [environ.get(name) for name in ("TMPDIR", "TEMP", "TMP")]
    for path in (*named, *TEMPORARY):
        if path and _is_writable(path):
            return _absolute(path, environ)
    return posix.getcwd()


def _is_writable(path: str) -> bool:
    try:
        return posix.access(path + "/.", posix.W_OK | posix.X_OK)
    except (OSError, ValueError):
        return False


def _digest(home: str) -> str:
    try:
        from _sha2 import sha256  # type: ignore[import-not-found]  # part of hashlib, without OpenSSL
    except ImportError:
        from _sha256 import sha256  # type: ignore[import-not-found]  # its name in Python 3.11
    return str(sha256(home.encode(errors="surrogateescape")).hexdigest())


def address_of(environ: Mapping[str, str], home: str, url: str | None) -> GatewayAddress:
    """Return the address of the gateway: that of the URL, else the Unix socket of the home.

    :raise Unusable: the URL cannot be used.
    """
    url = url or variable(environ, URL_VARIABLE)
    if not url:
        path = socket_path(environ, home)
        return GatewayAddress(int(_socket.AF_UNIX), path, b"localhost", b"", is_own=True)
    scheme, separator, rest = url.partition("://")
    if scheme.lower() != "http" or not separator:
        raise Unusable(f"--url {url}: expected http://host:port; the shim speaks no TLS")
    authority, _, path = rest.partition("/")
    name, port = _host_and_port(url, authority)
    # The gateway listens on both loopback families, and a name would have to be resolved.
    where = "127.0.0.1" if name == "localhost" else name
    try:
        found = _socket.getaddrinfo(where, port, 0, _socket.SOCK_STREAM)
    except OSError as why:
        raise Unusable(f"--url {url}: {why.strerror}") from why
    family, *_, sockaddr = found[0]
    prefix = quoted(b"/" + path.strip("/").encode()) if path.strip("/") else b""
    return GatewayAddress(int(family), sockaddr, authority.encode(), prefix, is_own=False)


def _host_and_port(url: str, authority: str) -> tuple[str, int]:
    name, colon, port = authority.rpartition(":")
    if not colon or port.endswith("]"):
        name, port = authority, "80"
    printable = authority.isascii() and authority.isprintable() and "@" not in authority
    if not (name and port.isdigit() and 0 < int(port) < 65536 and printable):
        raise Unusable(f"--url {url}: expected http://host:port")
    return name.strip("[]"), int(port)


def working_directory() -> bytes:
    """Return the directory in which the client has started the shim, as bytes; empty where it has been removed."""
    try:
        return posix.getcwdb()
    except OSError:
        return b""


def token_of(path: str | None, given: str = "") -> bytes:
    """Return the token in a file; where no file is named, that of the environment, or an empty one.

    :raise Unusable: the file cannot be read, or holds no token.
    """
    if path is None:
        token = given.encode(errors="surrogateescape")
        if not VISIBLE.issuperset(token):
            raise Unusable(f"{TOKEN_VARIABLE}: it is no token")
        return token
    try:
        descriptor = posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC)
        try:
            token = posix.read(descriptor, TOKEN_LIMIT).strip()
        finally:
            posix.close(descriptor)
    except OSError as why:
        raise Unusable(f"--token-file {path}: {why.strerror}") from why
    if not token or not VISIBLE.issuperset(token):
        raise Unusable(f"--token-file {path}: it holds no token")
    return token


def quoted(text: bytes) -> bytes:
    """Return bytes as a path of a URL, percent-encoded but for its slashes."""
    return b"".join(b"%c" % each if each in PLAIN or each == 0x2F else b"%%%02X" % each for each in text)
