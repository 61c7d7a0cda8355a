"""Send requests to a running gateway: over the Unix socket in its home, or over TCP if a URL was named."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from mcpgateway.cli.console import HELP, UNREACHABLE, fail
from mcpgateway.cli.context import Globals
from mcpgateway.hints import cli
from mcpgateway.shim import locations
from mcpgateway.shim.startup import LOG, opener

if TYPE_CHECKING:
    import http.client

    from mcpgateway.system.control_http import HttpReply

LIMIT_S = 10.0
TOKEN, ADMIN_TOKEN = "auth.token", "admin.token"
VARIABLES = {TOKEN: locations.TOKEN_VARIABLE, ADMIN_TOKEN: "MCPGATEWAY_ADMIN_TOKEN"}
TOKEN_LIMIT = 4096
BUSY = f"it is busy, or hangs: {cli('restart')} ends it and starts it anew"
FORBIDDEN = 403
ANOTHER_WAY = (
    "name the file that holds its token: --token-file FILE; or set MCPGATEWAY_AUTH_TOKEN;"
    f" {cli('token show')} prints it where the gateway runs"
)
LOOPBACK = frozenset(("localhost", "127.0.0.1", "::1"))
DEFAULT_PORTS = {"http": 80, "https": 443}


class NoGateway(Exception):
    """No gateway has answered; the text has the reason."""


class GatewayAbsent(NoGateway):
    """No gateway listens at the socket of the home."""


class GatewayLate(NoGateway):
    """The gateway accepts connections, and has not answered in time."""


class SocketForbidden(NoGateway):
    """The gateway refuses the connection of this user."""


class GatewayClient:
    """The gateway that the global options name.

    :ivar where: its address, in words.
    :param is_admin: requests need the admin token, unless they go over the socket.
    """

    def __init__(self, globals_: Globals, *, is_admin: bool = False) -> None:
        self._home = globals_.home
        self._url = _parsed(globals_.url) if globals_.url else None
        self._token_file = globals_.token_file
        self._own_token = ADMIN_TOKEN if is_admin else TOKEN
        self._path = "" if self._url else locations.socket_path(locations.environment(), globals_.home)
        self.where = _shown(self._url) if self._url else self._path

    def ask(
        self,
        path: str,
        *,
        method: str = "GET",
        body: object = None,
        limit_s: float = LIMIT_S,
        headers: Mapping[str, str] | None = None,
    ) -> HttpReply:
        """Send a request, and wait for the complete answer.

        :param headers: further request headers.
        :raise NoGateway: no gateway has answered in time.
        """
        try:
            return self._fetched(self._connection(limit_s), path, method, body, limit_s, headers)
        except NoGateway:
            beside = self._beside_the_socket(limit_s)
            if beside is None:
                raise
        return self._fetched(beside, path, method, body, limit_s, headers)

    def stream(
        self, path: str, headers: Mapping[str, str], limit_s: float
    ) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        """Send a request for a stream, and return as soon as its head has come.

        :param limit_s: the longest silence of the stream.
        :raise NoGateway: no gateway answers.
        """
        try:
            connection = self._connection(limit_s)
        except NoGateway:
            beside = self._beside_the_socket(limit_s)
            if beside is None:
                raise
            connection = beside
        import http.client

        try:
            asked = {"Accept": "text/event-stream, application/json", **self._credentials(), **headers}
            connection.request("GET", self._prefix + path, None, asked)
            return connection, connection.getresponse()
        except (OSError, http.client.HTTPException) as why:
            connection.close()
            raise _away(why) from why

    def _beside_the_socket(self, limit_s: float) -> http.client.HTTPConnection | None:
        # A gateway may lack its socket, for instance when the home is full.
        if self._url is not None:
            return None
        from mcpgateway.system.state import is_gateway, read_state

        state = read_state(self._home)
        if not (state.port and is_gateway(state, self._home)) or os.path.exists(self._path):
            return None
        from mcpgateway.system.control_http import local_connection

        return local_connection(state.port, limit_s)

    def _fetched(
        self,
        connection: http.client.HTTPConnection,
        path: str,
        method: str,
        body: object,
        limit_s: float,
        more: Mapping[str, str] | None,
    ) -> HttpReply:
        import http.client

        from mcpgateway.system.control_http import fetch

        headers = {**(more or {}), **self._credentials()}
        try:
            return fetch(connection, self._prefix + path, limit_s, method=method, body=body, headers=headers)
        except (OSError, http.client.HTTPException) as why:
            raise _away(why) from why

    def fetch(
        self,
        path: str,
        *,
        method: str = "GET",
        body: object = None,
        limit_s: float = LIMIT_S,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """Send a request, and return the body of the answer; a refusal ends the command in the gateway's words.

        :raise Trouble: no gateway answers, or it refuses the request.
        """
        try:
            answer = self.ask(path, method=method, body=body, limit_s=limit_s, headers=headers)
        except NoGateway as why:
            self.unreachable(why)
        value = answer.value if isinstance(answer.value, dict) else {}
        if answer.status in (401, 403):
            # This program knows which token the request needs; the gateway knows what the token may not do.
            hint = str(value.get("hint") or ANOTHER_WAY) if answer.status == FORBIDDEN else ANOTHER_WAY
            fail(f"the gateway at {self.where} refuses: {_error_text(answer)}", hint)
        if answer.status >= 400:
            fail(_error_text(answer), _of_a_command(str(value.get("hint") or "")))
        if answer.value is None:
            self.unreachable("what answers there is no gateway")
        return answer.value

    def unreachable(self, why: NoGateway | str) -> NoReturn:
        """End the command: no gateway answers.

        :raise Trouble: always.
        """
        if isinstance(why, GatewayAbsent) and self._url is None:
            fail("no gateway answers: none runs in the home " + self._home, self._hint(why), UNREACHABLE)
        fail(f"no gateway answers at {self.where}: {why}", self._hint(why), UNREACHABLE)

    def _hint(self, why: NoGateway | str) -> str:
        if isinstance(why, GatewayLate) and self._url is None:
            return f"{BUSY}; its log is {self._home}/logs/{LOG}"
        if isinstance(why, GatewayLate):
            return "it is busy, or hangs"
        if self._url is not None:
            return "is the URL right? MCPGATEWAY_URL and --url name it"
        if isinstance(why, SocketForbidden):
            return f"is {self._home} yours? --home names another"
        from mcpgateway.cli.gateway_process import is_returning  # only for a gateway that is not there

        if is_returning(self._home):
            return f"it is being started again by itself: try that again in a few seconds; {cli('status')} shows when"
        return f"start it: {cli('start')}"

    @property
    def _prefix(self) -> str:
        return self._url.prefix if self._url else ""

    def _connection(self, limit_s: float) -> http.client.HTTPConnection:
        if self._url is None:
            # Without a socket, no module for requests over it is loaded.
            try:
                os.stat(self._path)
            except OSError as why:
                raise _away(why) from why
            from mcpgateway.system.control_http import UnixConnection

            return UnixConnection(self._path, limit_s)
        import http.client

        if self._url.scheme == "https":
            return http.client.HTTPSConnection(self._url.host, self._url.port, timeout=limit_s)
        # The gateway listens on both address families, unless the machine has only one.
        host = "127.0.0.1" if self._url.host == "localhost" else self._url.host
        return http.client.HTTPConnection(host, self._url.port, timeout=limit_s)

    def _credentials(self) -> Mapping[str, str]:
        token = self._token()
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        if self._url is not None:
            headers["Host"] = self._url.authority
        return headers

    def _token(self) -> str:
        if self._token_file:
            return _read_token(self._token_file)
        if self._url is not None and not self._is_of_this_home():
            return _given(self._own_token)
        path = f"{self._home}/{self._own_token}"
        return _read_token(path, opener) if os.path.lexists(path) else ""

    def _is_of_this_home(self) -> bool:
        # The token is sent only to its own gateway: at another port any other program may listen.
        from mcpgateway.system.state import read_state

        assert self._url is not None
        return self._url.host in LOOPBACK and read_state(self._home).port == self._url.port


class _Url(NamedTuple):
    scheme: str
    host: str
    port: int
    authority: str
    prefix: str


def _parsed(url: str) -> _Url:
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(url)
        port = parts.port or DEFAULT_PORTS.get(parts.scheme, 0)
    except ValueError:
        port = 0
    usable = port and parts.hostname and parts.username is None and not (parts.query or parts.fragment)
    if not usable or not parts.netloc.isascii():
        fail("--url: expected http://host:port or https://host:port")
    return _Url(parts.scheme, str(parts.hostname), port, parts.netloc, parts.path.rstrip("/"))


def _shown(url: _Url) -> str:
    return f"{url.scheme}://{url.authority}{url.prefix}"


def _given(name: str) -> str:
    # Variables that are set together with a URL are meant for the gateway at that URL.
    variables = [VARIABLES[name], VARIABLES[TOKEN]]
    token = next(filter(None, (locations.variable(os.environ, each) for each in variables)), "")
    if not token.isascii() or not token.isprintable() or " " in token:
        fail(f"{' or '.join(dict.fromkeys(variables))}: it is no token")
    return token


def _read_token(path: str, opens: Callable[[str, int], int] | None = None) -> str:
    try:
        with open(os.path.expanduser(path), encoding="ascii", opener=opens) as file:
            token = file.read(TOKEN_LIMIT).strip()
    except (OSError, UnicodeError) as why:
        fail(f"the token cannot be read from {path}: {getattr(why, 'strerror', None) or 'it is no token'}")
    if not token.isprintable() or " " in token:
        fail(f"the token cannot be read from {path}: it is no token")
    return token


def _of_a_command(hint: str) -> str:
    """Return a hint of the gateway as a user of commands needs it."""
    from mcpgateway.errors import InvalidParams  # only for a refusal

    return HELP if hint == InvalidParams.remedy else hint


def _error_text(answer: HttpReply) -> str:
    error = answer.value.get("error") if isinstance(answer.value, dict) else None
    if isinstance(error, dict):
        error = error.get("message")
    return str(error) if error else f"HTTP {answer.status}"


def _away(why: Exception) -> NoGateway:
    if isinstance(
        why, TimeoutError | BlockingIOError
    ):  # the latter when even the backlog of the socket is full
        return GatewayLate("it does not answer in time")
    if isinstance(why, FileNotFoundError | ConnectionRefusedError):
        return GatewayAbsent(why.strerror or str(why))
    if isinstance(why, PermissionError):
        return SocketForbidden(why.strerror or str(why))
    if isinstance(why, OSError):
        return NoGateway(why.strerror or str(why))
    return NoGateway("what answers there is no gateway")
