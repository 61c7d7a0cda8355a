"""Results without what looks like a credential."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from mcpgateway.policy.secrets.redaction import Redactor
from mcpgateway.policy.secrets.shapes import MASK
from mcpgateway.truncation.masking import masked as mask_result

TOKEN = "ghp_" + "a1" * 18


def masked(result: Any, *secrets: str) -> tuple[Any, int]:
    """A result without secrets, and their number."""
    redactor = Redactor()
    redactor.learn(secrets)
    found, count = mask_result(Raw(json.dumps(result).encode()), redactor.mask)
    return json.loads(bytes(found)), count


class MaskingTests:
    """The values that are masked, and those that are not."""

    def test_places(self) -> None:
        """Tokens are masked in plain text, in JSON, and in structured content."""
        token = TOKEN
        result = {
            "content": [
                {"type": "text", "text": f"it is {token}, really"},
                {"type": "text", "text": json.dumps({"key": token})},
            ],
            "structuredContent": {"list": [token], "n": 1},
        }
        found, count = masked(result)
        assert count == 3
        assert found["content"][0]["text"] == f"it is {MASK}, really"
        assert json.loads(found["content"][1]["text"]) == {"key": MASK}
        assert found["structuredContent"] == {"list": [MASK], "n": 1}

    def test_configured_values(self) -> None:
        """A configured secret is masked however JSON writes it; what is very short is no secret."""
        secret = 'pass"wörd\\1'
        found, count = masked(
            {"content": [{"type": "text", "text": json.dumps([secret, "abc"])}]}, secret, "abc"
        )
        assert (json.loads(found["content"][0]["text"]), count) == ([MASK, "abc"], 1)

    def test_embedded_texts(self) -> None:
        """The texts of embedded resources are looked through, and so is content that is a mere string."""
        resource = {"uri": "file:///x", "text": f"token {TOKEN}"}
        found, count = masked({"content": [{"type": "resource", "resource": resource}]})
        assert found["content"][0]["resource"] == {"uri": "file:///x", "text": f"token {MASK}"}
        assert count == 1
        assert masked({"content": TOKEN})[0]["content"] == [{"type": "text", "text": MASK}]

    def test_what_is_no_text(self) -> None:
        """Images and embedded resources are not looked into."""
        result = {"content": [{"type": "image", "data": TOKEN, "mimeType": "image/png"}]}
        assert masked(result) == (result, 0)

    @given(st.text(max_size=300), st.binary(max_size=100))
    def test_anything(self, text: str, junk: bytes) -> None:
        """Results without secrets are the same bytes, and nothing breaks."""
        raw = Raw(json.dumps({"content": [{"type": "text", "text": text}]}).encode())
        found, count = mask_result(raw, Redactor().mask)
        assert count or found is raw
        assert mask_result(Raw(junk), Redactor().mask)[1] == 0
