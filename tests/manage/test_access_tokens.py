"""Access tokens of an authorization server, made with real keys, good and bad."""

from __future__ import annotations

import hashlib
import hmac
import json
from base64 import urlsafe_b64encode
from typing import Any

import jwt
import pytest
from attrs import define
from hypothesis import given
from hypothesis import strategies as st
from jwt.algorithms import ECAlgorithm
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock

from mcpgateway.config.security import Issuer as Settings
from mcpgateway.errors import BackendError
from mcpgateway.manage.access_tokens import AGAIN_S, FRESH_S, GOOD_S, GRACE_S, AccessTokens
from mcpgateway.policy.access import CredentialHolder, PresentedCredential
from tests.support.issuer import KINDS, Issuer, Keys

AUDIENCE = ("https://mcp.example",)


@define
class Page:
    """An answer."""

    status: int
    body: bytes


class Desk:
    """A judge of tokens with the issuer whose tokens it judges."""

    def __init__(self, issuer: Issuer | None = None, **settings: Any) -> None:
        self.clock = Clock()
        self.clock.advance(1_700_000_000)
        self.issuer = issuer or Issuer()
        self.gone: list[frozenset[str]] = []
        self.slow: list[tuple[Deferred[Page], str]] | None = None
        given_ = {"issuer": self.issuer.url, "audience": AUDIENCE, **settings}
        self.tokens = AccessTokens(Settings(**given_), self.fetch, self.clock.seconds, self.gone.append)

    def fetch(self, url: str, named_by: str) -> Deferred[Any]:
        """Fetch a document of the issuer."""
        if self.slow is not None:
            done: Deferred[Page] = Deferred()
            self.slow.append((done, url))
            return done
        return self._answer(url)

    def _answer(self, url: str) -> Deferred[Any]:
        if self.issuer.is_away:
            self.issuer.asked.append(url)
            return fail(BackendError("nothing answers there"))
        found = self.issuer.document(url)
        return succeed(Page(404, b"") if found is None else Page(200, json.dumps(found).encode()))

    @property
    def now(self) -> float:
        """The time of the clock."""
        return self.clock.seconds()

    def judge(self, token: str | bytes) -> CredentialHolder | None:
        """Return the verdict on a token, once keys were fetched; None where there is none."""
        data = token.encode() if isinstance(token, str) else token
        found = self.tokens.judge(data)
        if isinstance(found, Deferred):
            assert found.called
            found = self.tokens.judge(data)
        assert not isinstance(found, Deferred)
        return found

    def worth(self, token: str | bytes) -> PresentedCredential | None:
        """Return the credential that a token is."""
        found = self.judge(token)
        return found.credential if found is not None else None

    def said(self, **claims: Any) -> PresentedCredential | None:
        """Return the verdict on a token with these claims."""
        return self.worth(self.issuer.token(self.now, **claims))


class GoodTests:
    """Tokens that let in."""

    @pytest.mark.parametrize("algorithm", list(KINDS))
    def test_algorithms(self, algorithm: str) -> None:
        """Every usual kind of key is known, and bearers are told apart."""
        desk = Desk(Issuer(keys=Keys("k", algorithm)))
        alice, bob = (desk.judge(desk.issuer.token(desk.now, sub=who)) for who in ("alice", "bob"))
        assert alice is not None
        assert bob is not None
        assert alice.credential is PresentedCredential.CLIENT
        assert alice.name != bob.name
        assert alice.name == desk.judge(desk.issuer.token(desk.now, jti="another")).name  # type: ignore[union-attr]
        assert "alice" not in alice.name

    def test_fetched_once(self) -> None:
        """Keys are asked for once, however many tokens come."""
        desk = Desk()
        for number in range(20):
            assert desk.said(jti=str(number)) is PresentedCredential.CLIENT
        assert desk.issuer.asked == [
            "https://login.example/.well-known/oauth-authorization-server",
            "https://login.example/jwks",
        ]

    def test_named_place_of_keys(self) -> None:
        """Where the settings name the place of the keys, nothing else is asked."""
        desk = Desk(jwks_url="https://login.example/jwks")
        assert desk.said() is PresentedCredential.CLIENT
        assert desk.issuer.asked == ["https://login.example/jwks"]


class BadTests:
    """Tokens that do not."""

    @pytest.mark.parametrize(
        "claims",
        [
            {"aud": None},
            {"aud": "https://other.example"},
            {"aud": []},
            {"iss": "https://evil.example"},
            {"iss": None},
            {"iss": "https://login.example/"},
            {"exp": None},
            {"exp": "soon"},
            {"exp": True},
            {"sub": None},
            {"nbf": 1_700_000_000 + GRACE_S + 1},
            {"nbf": "later"},
        ],
    )
    def test_claims(self, claims: dict[str, Any]) -> None:
        """A token of another issuer, for another audience, or without an end is refused."""
        assert Desk().said(**claims) is PresentedCredential.WRONG

    def test_scopes(self) -> None:
        """A token that does not allow what is needed is told so."""
        desk = Desk(scopes=("mcp", "admin"))
        assert desk.said(scope="mcp") is PresentedCredential.NARROW
        assert desk.said(scope="admin mcp x") is PresentedCredential.CLIENT

    def test_ends(self) -> None:
        """A token ends, also one that was checked before, and its bearer's streams with the last of them."""
        desk = Desk()
        token = desk.issuer.token(desk.now)
        assert desk.worth(token) is PresentedCredential.CLIENT
        desk.clock.advance(200)
        later = desk.issuer.token(desk.now)
        assert desk.worth(later) is PresentedCredential.CLIENT
        desk.clock.advance(100 + GRACE_S)
        assert desk.worth(token) is PresentedCredential.OVER
        desk.tokens.tick()
        assert desk.gone == []
        desk.clock.advance(200)
        desk.tokens.tick()
        assert len(desk.gone) == 1
        assert desk.worth(later) is PresentedCredential.OVER
        assert desk.said(exp=int(desk.now) - 100) is PresentedCredential.OVER

    def test_dismissed(self) -> None:
        """Where another authorization server is named, the streams of those whom this one let in end."""
        desk = Desk()
        found = desk.judge(desk.issuer.token(desk.now))
        assert found is not None
        desk.tokens.dismiss()
        desk.tokens.dismiss()
        assert desk.gone == [frozenset((found.name,))]

    def test_forged(self) -> None:
        """A signature of another key, none at all, and a public key taken for a shared secret."""
        desk = Desk()
        claims = desk.issuer.claims(desk.now)
        assert desk.worth(Keys("one").sign(claims)) is PresentedCredential.WRONG
        assert desk.worth(Keys("two").sign(claims)) is PresentedCredential.WRONG
        assert desk.worth(jwt.encode(claims, None, "none", {"kid": "one"})) is PresentedCredential.WRONG
        assert (
            desk.worth(_hs256(claims, json.dumps(desk.issuer.keys.public).encode()))
            is PresentedCredential.WRONG
        )
        assert desk.worth(desk.issuer.keys.sign(claims, crit=["x"])) is PresentedCredential.WRONG

    @pytest.mark.parametrize(
        "header",
        [
            {"jku": "https://evil.example/jwks"},
            {"x5u": "https://evil.example/chain"},
            {"x5c": ["AAAA"]},
            {"kid": "../../../dev/null"},
            {"kid": "https://evil.example/jwks"},
            {"kid": "one' or '1'='1"},
            {"kid": 1},
            {"kid": ["one"]},
        ],
        ids=str,
    )
    def test_keys_that_a_token_names(self, header: dict[str, Any]) -> None:
        """No place, no certificate and no key of the token's own is looked at: only what its issuer publishes."""
        desk, evil = Desk(), Keys("one")
        head = {"jwk": evil.public, **header}
        assert (
            desk.worth(_signed(evil, {"kid": "one", **head}, desk.issuer.claims(desk.now)))
            is PresentedCredential.WRONG
        )
        assert all(each.startswith(desk.issuer.url) for each in desk.issuer.asked)

    @pytest.mark.parametrize(
        "kind", ["logout+jwt", "secevent+jwt", "dpop+jwt", "application/dpop+jwt", "JWE", 5]
    )
    def test_other_kinds(self, kind: object) -> None:
        """A token that the issuer signs for another use is no access token (RFC 8725, 3.11)."""
        desk = Desk()
        token = _signed(desk.issuer.keys, {"kid": "one", "typ": kind}, desk.issuer.claims(desk.now))
        assert desk.worth(token) is PresentedCredential.WRONG

    @pytest.mark.parametrize("kind", ["JWT", "at+jwt", "application/at+jwt", "AT+JWT", None])
    def test_access_tokens(self, kind: str | None) -> None:
        """An access token says so, or nothing of its kind."""
        desk = Desk()
        head = {"kid": "one"} if kind is None else {"kid": "one", "typ": kind}
        assert (
            desk.worth(_signed(desk.issuer.keys, head, desk.issuer.claims(desk.now)))
            is PresentedCredential.CLIENT
        )

    def test_shared_secrets_are_no_keys(self) -> None:
        """A published key of a shared secret, or for encryption, is not used."""
        issuer = Issuer()
        secret = b"a secret of thirty-two characters"
        issuer.published = [
            {"kty": "oct", "kid": "one", "k": urlsafe_b64encode(secret).decode(), "alg": "HS256"},
            {**issuer.keys.public, "kid": "two", "use": "enc"},
            {"kid": "three"},
            5,
            None,
        ]
        desk = Desk(issuer)
        assert desk.worth(_hs256(issuer.claims(desk.now), secret)) is PresentedCredential.WRONG
        assert desk.said() is None

    @given(st.binary(max_size=200))
    def test_rubbish(self, data: bytes) -> None:
        """A token of any bytes is refused, and breaks nothing."""
        desk = Desk()
        for token in (
            data,
            data + b"..",
            b"e30." + data + b".e30",
            b"..",
            b"eyJhbGciOiJFUzI1NiJ9." + data + b".",
        ):
            if desk.tokens.takes(token):
                assert desk.worth(token) is PresentedCredential.WRONG

    @given(st.integers(0, 1_000_000), st.integers(1, 255))
    def test_one_bit(self, place: int, change: int) -> None:
        """A good token of which one character is another is worth nothing."""
        token = bytearray(TOKEN)
        at = place % len(token)
        token[at] = (token[at] + change) % 256
        found = DESK.worth(bytes(token))
        # The last character of a part has bits that say nothing.
        is_same = _decoded(bytes(token)) == _decoded(TOKEN)
        assert found is PresentedCredential.WRONG or is_same


class KeyTests:
    """Keys come and go."""

    def test_rolled(self) -> None:
        """A new key is known with its first token; one that was taken back is good for nothing any more."""
        desk = Desk()
        old = desk.issuer.token(desk.now)
        assert desk.worth(old) is PresentedCredential.CLIENT
        desk.issuer.keys = Keys("two")
        desk.issuer.published = [desk.issuer.keys.public]
        desk.clock.advance(AGAIN_S)
        assert desk.said() is PresentedCredential.CLIENT
        assert desk.worth(old) is PresentedCredential.WRONG

    def test_not_too_often(self) -> None:
        """Tokens with keys that nobody has seen cannot make us ask all the time."""
        desk = Desk()
        assert desk.said() is PresentedCredential.CLIENT
        before = len(desk.issuer.asked)
        for number in range(50):
            assert (
                desk.worth(Keys(f"k{number}").sign(desk.issuer.claims(desk.now))) is PresentedCredential.WRONG
            )
        assert len(desk.issuer.asked) == before
        desk.clock.advance(AGAIN_S)
        for number in range(50):
            assert (
                desk.worth(Keys(f"k{number}").sign(desk.issuer.claims(desk.now))) is PresentedCredential.WRONG
            )
        assert len(desk.issuer.asked) == before + 2

    def test_away(self) -> None:
        """While keys cannot be had nothing is known; those that were had are good for a day."""
        desk = Desk()
        desk.issuer.is_away = True
        assert desk.said() is None
        desk.issuer.is_away = False
        assert desk.said() is None
        desk.clock.advance(AGAIN_S)
        assert desk.said() is PresentedCredential.CLIENT
        desk.issuer.is_away = True
        desk.clock.advance(FRESH_S)
        assert desk.said() is PresentedCredential.CLIENT
        desk.clock.advance(GOOD_S)
        assert desk.said() is None

    @pytest.mark.parametrize(
        "document",
        [
            {"issuer": "https://evil.example", "jwks_uri": "https://login.example/jwks"},
            {"issuer": "https://login.example", "jwks_uri": "http://127.0.0.1:1/jwks"},
            {"issuer": "https://login.example", "jwks_uri": "file:///etc/passwd"},
            {"issuer": "https://login.example"},
            {},
        ],
    )
    def test_metadata_of_others(self, document: dict[str, Any]) -> None:
        """Metadata that is another's, or leads to this machine, is not followed."""
        desk = Desk()

        class Evil(Issuer):
            """Says something else."""

            def document(self, url: str) -> dict[str, Any] | None:
                """The document at the issuer."""
                return document if "well-known" in url else super().document(url)

        desk.issuer = Evil()
        assert desk.said() is None
        assert desk.issuer.asked == []

    def test_waiting(self) -> None:
        """Tokens that come while keys are fetched wait for the same ones."""
        desk = Desk(jwks_url="https://login.example/jwks")
        desk.slow = []
        token = desk.issuer.token(desk.now).encode()
        waiting = [desk.tokens.judge(token) for _ in range(3)]
        assert len(desk.slow) == 1
        done, url = desk.slow.pop()
        desk.slow = None
        desk._answer(url).addCallback(done.callback)
        assert all(isinstance(each, Deferred) and each.called for each in waiting)
        assert desk.worth(token) is PresentedCredential.CLIENT

    def test_without_a_name(self) -> None:
        """A token that names no key is checked with the one there is, and with none where there are several."""
        desk = Desk()
        token = desk.issuer.keys.sign(desk.issuer.claims(desk.now), kid=None)
        assert desk.worth(token) is PresentedCredential.CLIENT
        desk.issuer.published.append(Keys("two").public)
        desk.clock.advance(FRESH_S)
        assert desk.said() is PresentedCredential.CLIENT
        assert (
            desk.worth(desk.issuer.keys.sign(desk.issuer.claims(desk.now), kid=None))
            is PresentedCredential.WRONG
        )


def _hs256(claims: dict[str, Any], secret: bytes) -> bytes:
    parts = (json.dumps({"alg": "HS256", "kid": "one"}), json.dumps(claims))
    body = b".".join(urlsafe_b64encode(each.encode()).rstrip(b"=") for each in parts)
    return body + b"." + urlsafe_b64encode(hmac.new(secret, body, hashlib.sha256).digest()).rstrip(b"=")


def _decoded(token: bytes) -> Any:
    from base64 import urlsafe_b64decode

    try:
        return [urlsafe_b64decode(each + b"==") for each in token.split(b".")]
    except ValueError:
        return None


DESK = Desk()
TOKEN = DESK.issuer.token(DESK.now).encode()
assert DESK.worth(TOKEN) is PresentedCredential.CLIENT


def _signed(keys: Keys, header: dict[str, Any], claims: dict[str, Any]) -> str:
    # As nobody's library does it: with whatever header.
    parts = (json.dumps({"alg": keys.algorithm, **header}), json.dumps(claims))
    text = ".".join(urlsafe_b64encode(each.encode()).rstrip(b"=").decode() for each in parts)
    signature = ECAlgorithm(ECAlgorithm.SHA256).sign(text.encode(), keys.private)
    return f"{text}.{urlsafe_b64encode(signature).rstrip(b'=').decode()}"
