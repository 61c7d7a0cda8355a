"""An MCP server over Streamable HTTP that lets in whoever its own authorization server has let in.

    python protected.py PORT [--seconds N] [--without-registration] [--undescribed]

Both are those of the official SDK; every user says yes at once.  A token lasts ``--seconds``; a refresh token is good
once.  The client with the id ``static`` and the secret ``static-secret`` needs no registration.  ``--undescribed``: as
a server of 2025-03-26 it describes nothing.  What else goes wrong is said at ``/test`` (`mischief`).
"""

from __future__ import annotations

import argparse
import secrets
import time
from typing import Any

import uvicorn
from mcp.server import MCPServer
from mcp.server.auth.middleware.auth_context import get_access_token
from mcp.server.auth.provider import AccessToken, AuthorizationCode, RefreshToken, construct_redirect_uri
from mcp.server.auth.settings import AuthSettings, ClientRegistrationOptions, RevocationOptions
from mcp.shared.auth import OAuthClientInformationFull, OAuthToken
from mischief import Mischief, user

SCOPES = ["tools"]
ALL_SCOPES = [*SCOPES, "more"]


class Provider:
    """Keeps everything in memory."""

    def __init__(self, seconds: int) -> None:
        self._seconds = seconds
        self._clients: dict[str, Any] = {}
        self.forget_clients()
        self._codes: dict[str, AuthorizationCode] = {}
        self._refresh: dict[str, RefreshToken] = {}
        self._tokens: dict[str, AccessToken] = {}

    def forget_clients(self) -> None:
        """Know nobody any more."""
        self._clients = {
            "static": OAuthClientInformationFull(
                client_id="static",
                client_secret="static-secret",
                redirect_uris=["http://127.0.0.1:9100/oauth/callback"],  # type: ignore[list-item]
                scope="tools",
                token_endpoint_auth_method="client_secret_post",
            )
        }

    def clients(self) -> list[dict[str, Any]]:
        """The clients that have registered."""
        found = (each for name, each in self._clients.items() if name != "static")
        return [
            {"id": each.client_id, "scope": each.scope, "redirect": str(each.redirect_uris[0])}
            for each in found
        ]

    def scopes_of(self, token: str) -> list[str]:
        """The scopes that a token allows."""
        found = self._tokens.get(token)
        return found.scopes if found is not None else []

    async def get_client(self, client_id: str) -> Any:
        """A client that is known."""
        return self._clients.get(client_id)

    async def register_client(self, client_info: Any) -> None:
        """Let a client introduce itself."""
        self._clients[client_info.client_id] = client_info

    async def authorize(self, client: Any, params: Any) -> str:
        """The user says yes."""
        code = AuthorizationCode(
            code=secrets.token_urlsafe(32),
            scopes=params.scopes or SCOPES,
            expires_at=time.time() + 60,
            client_id=client.client_id,
            code_challenge=params.code_challenge,
            redirect_uri=params.redirect_uri,
            redirect_uri_provided_explicitly=params.redirect_uri_provided_explicitly,
            resource=params.resource,
            subject=user.get(),
        )
        self._codes[code.code] = code
        return construct_redirect_uri(str(params.redirect_uri), code=code.code, state=params.state)

    async def load_authorization_code(self, client: Any, authorization_code: str) -> Any:
        """A code that was given."""
        return self._codes.get(authorization_code)

    async def exchange_authorization_code(self, client: Any, authorization_code: Any) -> OAuthToken:
        """A code is good once."""
        del self._codes[authorization_code.code]
        return self._issue(
            client, authorization_code.scopes, authorization_code.resource, authorization_code.subject
        )

    async def load_refresh_token(self, client: Any, refresh_token: str) -> Any:
        """A refresh token that was given."""
        return self._refresh.get(refresh_token)

    async def exchange_refresh_token(self, client: Any, refresh_token: Any, scopes: list[str]) -> OAuthToken:
        """A refresh token is good once."""
        del self._refresh[refresh_token.token]
        kept = scopes or refresh_token.scopes
        return self._issue(client, kept, refresh_token.resource, refresh_token.subject)

    def _issue(self, client: Any, scopes: list[str], resource: str | None, subject: str | None) -> OAuthToken:
        access, refresh = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
        self._tokens[access] = AccessToken(
            token=access,
            client_id=client.client_id,
            scopes=scopes,
            expires_at=int(time.time()) + self._seconds,
            resource=resource,
            subject=subject,
        )
        self._refresh[refresh] = RefreshToken(
            token=refresh, client_id=client.client_id, scopes=scopes, resource=resource, subject=subject
        )
        return OAuthToken(
            access_token=access,
            token_type="Bearer",
            expires_in=self._seconds,
            refresh_token=refresh,
            scope=" ".join(scopes),
        )

    async def load_access_token(self, token: str) -> Any:
        """A token that is good."""
        found = self._tokens.get(token)
        return found if found is not None and found.expires_at and found.expires_at > time.time() else None

    async def revoke_token(self, token: Any) -> None:
        """The token is good no more, nor are those that belong to it."""
        for kept in (self._tokens, self._refresh):
            for name in [name for name, each in kept.items() if each.subject == token.subject]:
                del kept[name]


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("--seconds", type=int, default=3600)
    parser.add_argument("--without-registration", action="store_true")
    parser.add_argument("--undescribed", action="store_true")
    options = parser.parse_args()
    here = f"http://127.0.0.1:{options.port}"
    provider = Provider(options.seconds)
    server = MCPServer(
        "protected",
        auth_server_provider=provider,  # type: ignore[arg-type]
        auth=AuthSettings(
            issuer_url=here,  # type: ignore[arg-type]
            resource_server_url=f"{here}/mcp",  # type: ignore[arg-type]
            required_scopes=SCOPES,
            client_registration_options=ClientRegistrationOptions(
                enabled=not options.without_registration, valid_scopes=ALL_SCOPES, default_scopes=SCOPES
            ),
            revocation_options=RevocationOptions(enabled=True),
            validate_token_resource=True,
        ),
        log_level="ERROR",
    )

    @server.tool()
    def greet(name: str) -> str:
        """Say hello."""
        return f"hello {name}"

    @server.tool()
    def whoami() -> str:
        """Tell whose token it is."""
        token = get_access_token()
        return str(token.subject) if token is not None else "nobody"

    @server.tool()
    def elevate() -> str:
        """Do what not everybody may."""
        return "done"

    app: Any = server.streamable_http_app()
    if options.undescribed:
        app.routes[:] = [each for each in app.routes if ".well-known" not in each.path]
    app = Mischief(app, provider.forget_clients, provider.clients, provider.scopes_of)
    uvicorn.run(app, host="127.0.0.1", port=options.port, log_level="error")


main()
