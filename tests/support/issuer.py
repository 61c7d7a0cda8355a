"""An authorization server with real keys, for tests: its documents, its tokens, and, over HTTP, the whole dance."""

from __future__ import annotations

import hashlib
import json
import secrets
import threading
import time
from base64 import urlsafe_b64encode
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qsl, urlencode, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

KINDS: dict[str, Any] = {
    "RS256": (lambda: rsa.generate_private_key(65537, 2048), RSAAlgorithm),
    "ES256": (lambda: ec.generate_private_key(ec.SECP256R1()), ECAlgorithm),
    "EdDSA": (ed25519.Ed25519PrivateKey.generate, OKPAlgorithm),
}


class Keys:
    """A key pair, and what is signed with it."""

    def __init__(self, name: str = "one", algorithm: str = "ES256") -> None:
        make, how = KINDS[algorithm]
        self.name = name
        self.algorithm = algorithm
        self.private = make()
        public = how.to_jwk(self.private.public_key(), as_dict=True)
        self.public: dict[str, Any] = {**public, "kid": name, "alg": algorithm, "use": "sig"}

    def sign(self, claims: dict[str, Any], **header: Any) -> str:
        """A token."""
        said = {name: value for name, value in {"kid": self.name, **header}.items() if value is not None}
        return jwt.encode(claims, self.private, self.algorithm, said)


class Issuer:
    """The documents of an authorization server, by URL, and its tokens.

    :ivar asked: the requested URLs.
    :ivar is_away: True if no request is answered.
    """

    def __init__(self, url: str = "https://login.example", keys: Keys | None = None) -> None:
        self.url = url
        self.keys = keys or Keys()
        self.published: list[Any] = [self.keys.public]
        self.asked: list[str] = []
        self.is_away = False

    def document(self, url: str) -> dict[str, Any] | None:
        """Return the document at a URL."""
        self.asked.append(url)
        if self.is_away:
            return None
        if url == f"{self.url}/.well-known/oauth-authorization-server":
            return {
                "issuer": self.url,
                "jwks_uri": f"{self.url}/jwks",
                "authorization_endpoint": f"{self.url}/authorize",
                "token_endpoint": f"{self.url}/token",
                "registration_endpoint": f"{self.url}/register",
                "response_types_supported": ["code"],
                "grant_types_supported": ["authorization_code"],
                "code_challenge_methods_supported": ["S256"],
                "token_endpoint_auth_methods_supported": ["none"],
                "scopes_supported": ["mcp"],
            }
        return {"keys": self.published} if url == f"{self.url}/jwks" else None

    def claims(self, now: float, **more: Any) -> dict[str, Any]:
        """Return the claims of a valid token; those that are None are left out."""
        made = {
            "iss": self.url,
            "aud": "https://mcp.example",
            "sub": "alice",
            "scope": "mcp other",
            "iat": int(now),
            "exp": int(now) + 300,
            **more,
        }
        return {name: value for name, value in made.items() if value is not None}

    def token(self, now: float, **more: Any) -> str:
        """A good token, but for what is said."""
        return self.keys.sign(self.claims(now, **more))


class LiveIssuer(Issuer):
    """The same over HTTP; every user says yes at once.

    :ivar granting: the claims of its tokens, beside the usual ones.
    :ivar refusal: the error code with which every user is sent back; empty for none.
    :ivar forms: the requests for tokens.
    """

    def __init__(self) -> None:
        self.granting: dict[str, Any] = {"scope": "mcp"}
        self.refusal = ""
        self.forms: list[dict[str, str]] = []
        self._codes: dict[str, dict[str, str]] = {}
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            """Answers for it."""

            def do_GET(self) -> None:
                """Documents, and the user's yes."""
                parts = urlsplit(self.path)
                if parts.path == "/authorize":
                    self._send(302, None, Location=issuer.allowed(dict(parse_qsl(parts.query))))
                    return
                found = issuer.document(issuer.url + parts.path)
                self._send(200 if found is not None else 404, found)

            def do_POST(self) -> None:
                """A client introduces itself, or wants its token."""
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.path == "/register":
                    said = json.loads(body)
                    self._send(201, {**said, "client_id": "c1", "token_endpoint_auth_method": "none"})
                else:
                    found = issuer.granted(dict(parse_qsl(body.decode())))
                    self._send(200 if found else 400, found or {"error": "invalid_grant"})

            def _send(self, status: int, value: Any, **headers: str) -> None:
                data = json.dumps(value).encode()
                self.send_response(status)
                for name, text in {"Content-Type": "application/json", **headers}.items():
                    self.send_header(name, text)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *what: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        super().__init__(f"http://127.0.0.1:{self._server.server_port}")
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def allowed(self, asked: dict[str, str]) -> str:
        """Return the address to which the browser of a consenting user is redirected."""
        code = secrets.token_urlsafe(16)
        self._codes[code] = asked
        answer = {"error": self.refusal} if self.refusal else {"code": code}
        return f"{asked['redirect_uri']}?{urlencode({**answer, 'state': asked.get('state', '')})}"

    def granted(self, said: dict[str, str]) -> dict[str, Any] | None:
        """The token for a code, made for the resource that was asked for."""
        self.forms.append(said)
        asked = self._codes.pop(said.get("code", ""), None)
        digest = hashlib.sha256(said.get("code_verifier", "").encode()).digest()
        if asked is None or urlsafe_b64encode(digest).rstrip(b"=").decode() != asked["code_challenge"]:
            return None
        claims = {"aud": said.get("resource", asked.get("resource", "")), **self.granting}
        token = self.token(time.time(), **claims)
        return {"access_token": token, "token_type": "Bearer", "expires_in": 300}

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *why: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
