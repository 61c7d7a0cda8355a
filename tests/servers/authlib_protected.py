"""An MCP server over Streamable HTTP behind an authorization server made of authlib.

    python authlib_protected.py PORT [--seconds N] [--documents FILE] [--interval N] [--code-seconds N]
        [--without-device]

A user may also sign in by a device code (RFC 8628): ``GET /device?user_code=CODE&as=USER`` enters it, and the user
``nobody`` declines.  ``--interval`` and ``--code-seconds`` say how often a client may ask, and how long a code lasts; a
client that asks more often is told to slow down.  ``--without-device``: it knows nothing of such codes.

Its clients are confidential, tell their secret in a header, and can take their registration back (RFC 7592); its
answers say who it is (RFC 9207); a refresh token is good once.  Every user says yes at once, unless the cookie ``user``
is ``nobody``.  With ``--documents`` clients need not register: who they are is fetched from the URLs that are their
ids, with the authorities in that file.  What else goes wrong is said at ``/test`` (`mischief`).
"""

from __future__ import annotations

import argparse
import json
import secrets
import ssl
import time
import urllib.request
from collections import defaultdict
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from authlib.oauth2.rfc6749 import (
    AuthorizationServer,
    ClientMixin,
    JsonRequest,
    OAuth2Error,
    OAuth2Payload,
    OAuth2Request,
    TokenMixin,
    grants,
)
from authlib.oauth2.rfc6750 import BearerTokenGenerator
from authlib.oauth2.rfc7009 import RevocationEndpoint
from authlib.oauth2.rfc7591 import ClientRegistrationEndpoint
from authlib.oauth2.rfc7636 import CodeChallenge
from authlib.oauth2.rfc8628 import (
    DEVICE_CODE_GRANT_TYPE,
    DeviceAuthorizationEndpoint,
    DeviceCodeGrant,
    DeviceCredentialDict,
)
from authlib.oauth2.rfc9207 import IssuerParameter
from mcp.server import MCPServer
from mcp.server.auth.middleware.auth_context import get_access_token
from mcp.server.auth.provider import AccessToken
from mcp.server.auth.settings import AuthSettings
from mischief import Mischief, user
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route

SCOPES = ["tools", "offline_access"]


class Client(ClientMixin):
    """A registered client."""

    def __init__(self, info: dict[str, Any], metadata: dict[str, Any]) -> None:
        self.id, self.secret = info["client_id"], info.get("client_secret", "")
        self.metadata = metadata
        self.method = "client_secret_basic" if self.secret else "none"

    def get_client_id(self) -> str:
        """Return the id of the client."""
        return str(self.id)

    def get_default_redirect_uri(self) -> str:
        """Where its users come back to."""
        return str(self.metadata["redirect_uris"][0])

    def get_allowed_scope(self, scope: str) -> str:
        """The scope that the client may ask for of that."""
        allowed = self.metadata.get("scope", "tools").split()
        return " ".join(each for each in (scope or "").split() if each in allowed)

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        """Return whether that is the registered redirect URI."""
        return redirect_uri in self.metadata["redirect_uris"]

    def check_client_secret(self, client_secret: str) -> bool:
        """Return whether the client's secret is right."""
        return secrets.compare_digest(client_secret, self.secret)

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        """Only the header will do, where there is a secret."""
        return method == self.method

    def check_response_type(self, response_type: str) -> bool:
        """Only codes."""
        return response_type == "code"

    def check_grant_type(self, grant_type: str) -> bool:
        """The grant type is one that the client has registered."""
        return grant_type in self.metadata["grant_types"]


class Token(TokenMixin):
    """An issued token."""

    def __init__(self, said: dict[str, Any], client: Client, user: str) -> None:
        self.access, self.refresh = said["access_token"], said.get("refresh_token", "")
        self.scope, self.client, self.user = said.get("scope", ""), client, user
        self.ends = time.time() + said["expires_in"]
        self.is_over = False

    def check_client(self, client: Client) -> bool:
        """Return whether the token is that client's."""
        return self.client.id == client.id

    def get_scope(self) -> str:
        """The scope that the token allows."""
        return str(self.scope)

    def get_client(self) -> Client:
        """Return the client of the token."""
        return self.client

    def get_user(self) -> str:
        """The user who signed in."""
        return self.user


class Payload(OAuth2Payload):
    """The members of a request."""

    def __init__(self, data: dict[str, str]) -> None:
        self._data = data

    @property
    def data(self) -> dict[str, str]:
        """All of them."""
        return self._data

    @property
    def datalist(self) -> Any:
        """Each as a list."""
        return defaultdict(list, {name: [value] for name, value in self._data.items()})


class Asked(OAuth2Request):
    """A request."""

    def __init__(self, request: Request, data: dict[str, str]) -> None:
        super().__init__(request.method, str(request.url), headers=request.headers)
        self.payload = Payload(data)
        self._form = data

    @property
    def args(self) -> Any:
        """The query of the request."""
        return self._form

    @property
    def form(self) -> Any:
        """The body of the request."""
        return self._form


class Told(Response):
    """An answer, with the place that it leads to where authlib looks for it."""

    @property
    def location(self) -> str:
        """Where it leads."""
        return str(self.headers.get("location", ""))

    @location.setter
    def location(self, place: str) -> None:
        self.headers["location"] = place


class Server(AuthorizationServer):
    """Keeps everything in memory."""

    def __init__(self) -> None:
        super().__init__(scopes_supported=SCOPES)
        self.clients: dict[str, Client] = {}
        self.tokens: list[Token] = []
        self.codes: dict[str, Any] = {}
        self.keys: dict[str, str] = {}
        self.authorities = ""
        self.device_codes: dict[str, Any] = {}
        self.entered: dict[str, tuple[str, bool]] = {}
        self.has_device = True

    def query_client(self, client_id: str) -> Client | None:
        """A client that is known, or says itself who it is."""
        if self.authorities and client_id.startswith("https://"):
            context = ssl.create_default_context(cafile=self.authorities)
            with urllib.request.urlopen(client_id, context=context, timeout=60) as answer:
                found = json.load(answer)
            return Client(found, found) if found["client_id"] == client_id else None
        return self.clients.get(client_id)

    def save_token(self, token: dict[str, Any], request: Any) -> None:
        """Remember it."""
        self.tokens.append(Token(token, request.client, request.user))

    def find(self, text: str) -> Token | None:
        """A token that is good."""
        good = (each for each in self.tokens if not each.is_over)
        return next((each for each in good if text in (each.access, each.refresh)), None)

    def create_oauth2_request(self, request: Any) -> Any:
        """The request is one already."""
        return request

    def create_json_request(self, request: Any) -> Any:
        """The request is one already."""
        return request

    def handle_response(self, status: int, body: Any, headers: Any) -> Response:
        """An answer."""
        if isinstance(body, dict):
            return JSONResponse(body, status)
        return Told(body, status, dict(headers))

    def send_signal(self, name: str, *args: Any, **kwargs: Any) -> None:
        """Signals have no listener."""


METHODS = ["client_secret_basic", "none"]


class Code(grants.AuthorizationCodeGrant):  # type: ignore[misc]
    """Codes are good once."""

    TOKEN_ENDPOINT_AUTH_METHODS = METHODS

    def save_authorization_code(self, code: str, request: Any) -> None:
        """Remember it, with its challenge."""
        self.server.codes[code] = (request.payload.data, request.client, request.user)

    def query_authorization_code(self, code: str, client: Client) -> Any:
        """Return the code that was issued to that client."""
        found = self.server.codes.get(code)
        return Given(*found) if found is not None and found[1].id == client.id else None

    def delete_authorization_code(self, code: Any) -> None:
        """The code was used, and is forgotten."""
        for name in [name for name, each in self.server.codes.items() if each[0] is code.data]:
            del self.server.codes[name]

    def authenticate_user(self, code: Any) -> str:
        """The user who signed in."""
        return str(code.user)


class Given:
    """A code that was given."""

    def __init__(self, data: dict[str, str], client: Client, user: str) -> None:
        self.data, self.client, self.user = data, client, user
        self.code_challenge = data["code_challenge"]
        self.code_challenge_method = data["code_challenge_method"]

    def get_redirect_uri(self) -> str:
        """Where it was sent to."""
        return self.data["redirect_uri"]

    def get_scope(self) -> str:
        """The scope that is asked for."""
        return self.data.get("scope", "tools")


class Device(DeviceCodeGrant):  # type: ignore[misc]
    """Tokens for codes that a user has entered on another device."""

    TOKEN_ENDPOINT_AUTH_METHODS = METHODS

    def query_device_credential(self, device_code: str) -> Any:
        """Return the issued code."""
        return self.server.device_codes.get(device_code)

    def query_user_grant(self, user_code: str) -> Any:
        """Return the user who has entered the code, and whether the user agreed."""
        return self.server.entered.get(user_code)

    def should_slow_down(self, credential: Any) -> bool:
        """True if the client asks more often than it may."""
        before, credential["asked"] = credential.get("asked", 0.0), time.time()
        return bool(time.time() - before < DeviceEndpoint.INTERVAL * 0.9)


class DeviceEndpoint(DeviceAuthorizationEndpoint):  # type: ignore[misc]
    """Issues device codes."""

    CLIENT_AUTH_METHODS = METHODS
    here = ""

    def get_verification_uri(self) -> str:
        """Return the page at which the user enters the code."""
        return f"{self.here}/device"

    def save_device_credential(self, client_id: str, scope: str, data: dict[str, Any]) -> None:
        """Remember it."""
        ends = time.time() + data["expires_in"]
        found = DeviceCredentialDict(client_id=client_id, scope=scope, expires_at=ends, **data)
        self.server.device_codes[data["device_code"]] = found


class Refresh(grants.RefreshTokenGrant):  # type: ignore[misc]
    """Refresh tokens are good once."""

    TOKEN_ENDPOINT_AUTH_METHODS = METHODS
    INCLUDE_NEW_REFRESH_TOKEN = True

    def authenticate_refresh_token(self, refresh_token: str) -> Token | None:
        """Return a valid refresh token."""
        found: Token | None = self.server.find(refresh_token)
        return found if found is not None and found.refresh == refresh_token else None

    def authenticate_user(self, refresh_token: Token) -> str:
        """The user who signed in."""
        return refresh_token.user

    def revoke_old_credential(self, refresh_token: Token) -> None:
        """The token was used, and is good no more."""
        refresh_token.is_over = True


class Revoke(RevocationEndpoint):  # type: ignore[misc]
    """Takes tokens back."""

    CLIENT_AUTH_METHODS = METHODS

    def query_token(self, token_string: str, token_type_hint: str) -> Token | None:
        """Return the valid token that is to be revoked."""
        found: Token | None = self.server.find(token_string)
        return found

    def revoke_token(self, token: Token, request: Any) -> None:
        """The token is good no more."""
        token.is_over = True


class Register(ClientRegistrationEndpoint):  # type: ignore[misc]
    """Lets anybody register."""

    here = ""

    def authenticate_token(self, request: Any) -> Any:
        """A client need not be known to register."""
        return "anybody"

    def get_server_metadata(self) -> dict[str, Any]:
        """The values that clients may register."""
        return {
            "scopes_supported": SCOPES,
            "response_types_supported": ["code"],
            "grant_types_supported": ["authorization_code", "refresh_token", DEVICE_CODE_GRANT_TYPE],
            "token_endpoint_auth_methods_supported": ["client_secret_basic"],
        }

    def save_client(self, client_info: Any, client_metadata: Any, request: Any) -> Client:
        """Remember it."""
        made = self.server.clients[client_info["client_id"]] = Client(client_info, client_metadata)
        return made

    def generate_client_registration_info(self, client: Client, request: Any) -> dict[str, str]:
        """Where the registration is taken back."""
        key = self.server.keys[client.id] = secrets.token_urlsafe(16)
        return {
            "registration_client_uri": f"{self.here}/register/{client.id}",
            "registration_access_token": key,
        }


class Issuer(IssuerParameter):  # type: ignore[misc]
    """Says who answers."""

    here = ""

    def get_issuer(self) -> str:
        """Return the name of the issuer."""
        return self.here


class Endpoints:
    """The authorization server over HTTP."""

    def __init__(self, server: Server, here: str) -> None:
        self._server = server
        self._here = here

    def routes(self) -> list[Any]:
        """All of them."""
        return [
            Route("/.well-known/oauth-authorization-server", self._metadata),
            Route("/authorize", self._authorize),
            Route("/token", self._token, methods=["POST"]),
            Route("/device_authorization", self._device_code, methods=["POST"]),
            Route("/device", self._device),
            Route("/revoke", self._revoke, methods=["POST"]),
            Route("/register", self._register, methods=["POST"]),
            Route("/register/{id}", self._unregister, methods=["DELETE"]),
        ]

    async def _metadata(self, request: Request) -> Response:
        return JSONResponse(
            {
                "issuer": self._here,
                "authorization_endpoint": f"{self._here}/authorize",
                "token_endpoint": f"{self._here}/token",
                "registration_endpoint": f"{self._here}/register",
                "revocation_endpoint": f"{self._here}/revoke",
                "response_types_supported": ["code"],
                "code_challenge_methods_supported": ["S256"],
                "token_endpoint_auth_methods_supported": ["client_secret_basic"],
                "scopes_supported": SCOPES,
                "authorization_response_iss_parameter_supported": True,
                "client_id_metadata_document_supported": bool(self._server.authorities),
                **(
                    {"device_authorization_endpoint": f"{self._here}/device_authorization"}
                    if self._server.has_device
                    else {}
                ),
            }
        )

    async def _authorize(self, request: Request) -> Any:
        who = user.get()
        asked = Asked(request, dict(request.query_params))
        try:
            grant = self._server.get_consent_grant(asked, end_user=who)
        except OAuth2Error as why:
            return JSONResponse({"error": why.error, "error_description": why.description}, 400)
        return self._server.create_authorization_response(asked, None if who == "nobody" else who, grant)

    async def _token(self, request: Request) -> Any:
        return self._server.create_token_response(await self._asked(request))

    async def _device_code(self, request: Request) -> Any:
        return self._server.create_endpoint_response("device_authorization", await self._asked(request))

    async def _device(self, request: Request) -> Response:
        query = request.query_params
        self._server.entered[query["user_code"]] = (query["as"], query["as"] != "nobody")
        return Response(b"thank you")

    async def _revoke(self, request: Request) -> Any:
        return self._server.create_endpoint_response("revocation", await self._asked(request))

    async def _asked(self, request: Request) -> Asked:
        return Asked(request, {name: str(value) for name, value in (await request.form()).items()})

    async def _register(self, request: Request) -> Any:
        asked = JsonRequest(request.method, str(request.url), request.headers)
        asked.payload = Payload(await request.json())
        return self._server.create_endpoint_response("client_registration", asked)

    async def _unregister(self, request: Request) -> Response:
        name = request.path_params["id"]
        if request.headers.get("authorization") != f"Bearer {self._server.keys.get(name)}":
            return Response(status_code=401)
        self._server.clients.pop(name, None)
        return Response(status_code=204)


class Verifier:
    """Knows the tokens that were given."""

    def __init__(self, server: Server) -> None:
        self._server = server

    async def verify_token(self, token: str) -> AccessToken | None:
        """Return a valid access token."""
        found = self._server.find(token)
        if found is None or found.access != token or found.ends < time.time():
            return None
        return AccessToken(
            token=token,
            client_id=found.client.id,
            scopes=found.scope.split(),
            expires_at=int(found.ends),
            subject=found.user,
        )


def issuer(here: str, seconds: int) -> Server:
    """An authorization server whose tokens last so long."""
    Register.here = Issuer.here = DeviceEndpoint.here = here
    server = Server()

    def text(**_: Any) -> str:
        return secrets.token_urlsafe(32)

    server.register_token_generator("default", BearerTokenGenerator(text, text, lambda *_: seconds))
    server.register_grant(Code, [CodeChallenge(required=True)])
    server.register_grant(Refresh)
    server.register_grant(Device)
    server.register_endpoint(Revoke)
    server.register_endpoint(Register)
    server.register_endpoint(DeviceEndpoint)
    Issuer()(server)
    return server


def resource(here: str, server: Server) -> Any:
    """The MCP server."""
    mcp = MCPServer(
        "authlib-protected",
        token_verifier=Verifier(server),
        auth=AuthSettings(
            issuer_url=here,  # type: ignore[arg-type]
            resource_server_url=f"{here}/mcp",  # type: ignore[arg-type]
            required_scopes=["tools"],
            validate_token_resource=False,
        ),
        log_level="ERROR",
    )

    @mcp.tool()
    def greet(name: str) -> str:
        """Say hello."""
        return f"hello {name}"

    @mcp.tool()
    def whoami() -> str:
        """Tell whose token it is."""
        known = get_access_token()
        return str(known.subject) if known is not None else "nobody"

    return mcp.streamable_http_app()


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("--seconds", type=int, default=3600)
    parser.add_argument("--documents", default="")
    parser.add_argument("--interval", type=int, default=1)
    parser.add_argument("--code-seconds", type=int, default=600)
    parser.add_argument("--without-device", action="store_true")
    options = parser.parse_args()
    DeviceEndpoint.INTERVAL, DeviceEndpoint.EXPIRES_IN = options.interval, options.code_seconds
    here = f"http://127.0.0.1:{options.port}"
    server = issuer(here, options.seconds)
    server.authorities = options.documents
    server.has_device = not options.without_device
    inner = resource(here, server)

    @asynccontextmanager
    async def lifespan(_: Any) -> Any:
        async with inner.router.lifespan_context(inner):
            yield

    def clients() -> list[dict[str, Any]]:
        return [
            {"id": each.id, "scope": each.metadata.get("scope"), "redirect": each.get_default_redirect_uri()}
            for each in server.clients.values()
        ]

    def scopes_of(text: str) -> list[str]:
        found = server.find(text)
        return found.scope.split() if found is not None else []

    whole = Starlette(routes=[*Endpoints(server, here).routes(), Mount("/", inner)], lifespan=lifespan)
    app = Mischief(whole, server.clients.clear, clients, scopes_of)
    uvicorn.run(app, host="127.0.0.1", port=options.port, log_level="error")


main()
