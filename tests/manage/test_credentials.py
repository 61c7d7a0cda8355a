"""The comparison of tokens: by their digests, in constant time, and in no other way."""

from __future__ import annotations

import ast
import hmac
import inspect
import textwrap

import pytest

from mcpgateway.manage import credentials
from mcpgateway.manage.credentials import CredentialStore
from mcpgateway.policy.access import PresentedCredential
from mcpgateway.policy.agent_tokens import digest_of

BEARER, ADMIN = "b" * 43, "a" * 43


def header(token: str) -> bytes:
    """An ``Authorization`` with a token."""
    return f"Bearer {token}".encode()


class ComparisonTests:
    """Guessing a token from the time that a refusal takes."""

    def test_who_is_who(self):
        """The right tokens are known, and nothing that begins or ends like them."""
        judge = CredentialStore.of(BEARER, ADMIN).judge
        assert judge(header(BEARER)).credential is PresentedCredential.BEARER
        assert judge(header(ADMIN)).credential is PresentedCredential.ADMIN
        for wrong in (BEARER[:-1], BEARER + "b", BEARER[:-1] + "c", "", digest_of(BEARER.encode()).hex()):
            assert judge(header(wrong)).credential is PresentedCredential.WRONG

    @pytest.mark.parametrize("says", [True, False])
    def test_the_comparison_decides(self, monkeypatch, says):
        """The verdict is that of `hmac.compare_digest` on two digests of one length, which is called each time."""
        seen = []

        def compare(one, other):
            seen.append((one, other))
            return says

        monkeypatch.setattr(hmac, "compare_digest", compare)
        found = CredentialStore.of(BEARER, ADMIN).judge(header(BEARER))
        assert found.credential is (PresentedCredential.ADMIN if says else PresentedCredential.WRONG)
        assert all(len(one) == len(other) == 32 for one, other in seen)
        assert all(BEARER.encode() not in pair for pair in seen)
        assert seen

    def test_nothing_else_compares(self):
        """A token is never compared with ``==``, and only a digest is looked up."""
        tree = ast.parse(textwrap.dedent(inspect.getsource(credentials.CredentialStore.judge)))
        compared = [node for node in ast.walk(tree) if isinstance(node, ast.Compare)]
        assert all(isinstance(each, ast.Is | ast.IsNot) for node in compared for each in node.ops)
        looked_up = [
            ast.unparse(node.args[0])
            for node in ast.walk(tree)
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "get"
        ]
        assert set(looked_up) == {"digest"}
