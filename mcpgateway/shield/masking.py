"""Results without what looks like a credential.

The shapes are those of tokens that say what they are; a word that merely looks random is left alone.  A configured
secret is found wherever it stands, also where JSON writes its characters otherwise.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

from attrs import define, field
from msgspec import Raw

from mcpgateway.shield import documents, values
from mcpgateway.wire import jsonrpc

MASK = "•••"
DEPTH_LIMIT = 100
SHORTEST = 6  # characters of a configured secret; a shorter one stands in any text
_SHAPES = (
    r"gh[pousr]_[A-Za-z0-9]{36,255}",  # GitHub
    r"github_pat_[A-Za-z0-9_]{60,255}",
    r"glpat-[A-Za-z0-9_-]{20,255}",  # GitLab
    r"sk-(?:ant-|proj-|svcacct-|or-v1-)?[A-Za-z0-9_-]{32,255}",  # model providers
    r"(?:sk|rk)_(?:live|test)_[A-Za-z0-9]{16,255}",  # Stripe
    r"(?:AKIA|ASIA)[A-Z0-9]{16}",  # AWS
    r"AIza[A-Za-z0-9_-]{35}",  # Google
    r"ya29\.[A-Za-z0-9_-]{30,1000}",
    r"xox[abeprs]-[A-Za-z0-9-]{20,255}",  # Slack
    r"npm_[A-Za-z0-9]{36}",
    r"pypi-[A-Za-z0-9_-]{50,1000}",
    r"hf_[A-Za-z0-9]{30,255}",  # Hugging Face
    r"eyJ[A-Za-z0-9_-]{10,4000}\.eyJ[A-Za-z0-9_-]{10,8000}\.[A-Za-z0-9_-]{10,2000}",  # JSON Web Token
)
_KEY = r'-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----[^"]{0,20000}?-----END [A-Z ]{0,40}PRIVATE KEY-----'
_TOKENS = rf"(?<![A-Za-z0-9])(?:{'|'.join(_SHAPES)})(?![A-Za-z0-9])"


@define
class _Masker:
    """Takes secrets out of texts, and counts them."""

    pattern: re.Pattern[str]
    count: int = 0

    def text(self, text: str) -> str:
        """A text without them."""
        masked, found = self.pattern.subn(MASK, text)
        self.count += found
        return masked

    def value(self, raw: Raw, depth: int = 0) -> Raw:
        """A value without them, member names aside."""
        if values.is_text(raw):
            text = values.text(raw) or ""
            masked = self.text(text)
            return raw if masked == text else values.quoted(masked)
        before = self.count
        listed = values.items(raw) if depth < DEPTH_LIMIT else None
        if listed is not None:
            masked_items = [self.value(each, depth + 1) for each in listed]
            return raw if self.count == before else jsonrpc.raw(masked_items)
        named = values.members(raw) if depth < DEPTH_LIMIT else None
        if named is not None:
            masked_members = {name: self.value(each, depth + 1) for name, each in named.items()}
            return raw if self.count == before else jsonrpc.raw(masked_members)
        return raw


@define
class Masking:
    """Masks results.

    :param secrets: values that are secret, whatever they look like.
    """

    secrets: Iterable[str] = field(default=(), repr=False)
    _pattern: re.Pattern[str] = field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self._pattern = re.compile("|".join([*map(re.escape, _spellings(self.secrets)), _KEY, _TOKENS]))

    def masked(self, result: Raw) -> tuple[Raw, int]:
        """A result without secrets, and how many there were; the result itself where there were none."""
        members = values.members(result)
        if members is None:
            return result, 0
        masker = _Masker(self._pattern)
        found = documents.blocks(members)
        content = [self._block(each, masker) for each in found]
        data = documents.structured(members)
        if data is not None:
            members["structuredContent"] = masker.value(data)
        if not masker.count:
            return result, 0
        if found:
            members["content"] = jsonrpc.raw(content)
        return jsonrpc.raw(members), masker.count

    def _block(self, block: documents.Block, masker: _Masker) -> Raw:
        if block.text is None:
            return block.raw
        masked = masker.text(block.text)
        if masked == block.text:
            return block.raw
        return block.with_text(values.quoted(masked))


def _spellings(secrets: Iterable[str]) -> list[str]:
    long_enough = {each for each in secrets if len(each) >= SHORTEST}
    spelt = long_enough | {
        json.dumps(each, ensure_ascii=way)[1:-1] for each in long_enough for way in (True, False)
    }
    return sorted(spelt, key=lambda each: (-len(each), each))
