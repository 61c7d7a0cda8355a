"""The files that the user has approved, as the home records them."""

from __future__ import annotations

import hashlib
import json
import stat
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mcpgateway.errors import ConfigError
from mcpgateway.system import approvals

DIGEST = hashlib.sha256(b"x").hexdigest()


class ApprovalTests:
    """Approving and revoking."""

    def test_there_and_back(self, tmp_path: Path) -> None:
        """An approval is there for the next start, for nobody else to read, until it is revoked."""
        home = str(tmp_path)
        assert approvals.read(home) == {}
        approvals.approve(home, "/shop/.mcp.json", DIGEST, 1.0)
        assert approvals.read(home) == {"/shop/.mcp.json": DIGEST}
        assert stat.S_IMODE((tmp_path / "approvals.json").stat().st_mode) == 0o600
        kept = json.loads((tmp_path / "approvals.json").read_text())["approvals"]["/shop/.mcp.json"]
        assert kept == {"sha256": DIGEST, "at": "1970-01-01T00:00:01+00:00"}
        assert approvals.revoke(home, "/shop/.mcp.json")
        assert not approvals.revoke(home, "/shop/.mcp.json")
        assert approvals.read(home) == {}

    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        st.dictionaries(st.text(), st.binary().map(lambda each: hashlib.sha256(each).hexdigest()), max_size=5)
    )
    def test_any(self, tmp_path: Path, given_ones: dict[str, str]) -> None:
        """The digest of a path of any characters is found again."""
        home = str(tmp_path)
        (tmp_path / "approvals.json").unlink(missing_ok=True)
        for path, digest in given_ones.items():
            approvals.approve(home, path, digest, 0.0)
        assert approvals.read(home) == given_ones

    def test_only_so_many(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The oldest approvals make room for new ones; one that is given again is new."""
        monkeypatch.setattr(approvals, "APPROVALS_LIMIT", 2)
        for path in ("/a", "/b", "/a", "/c"):
            approvals.approve(str(tmp_path), path, DIGEST, 0.0)
        assert list(approvals.read(str(tmp_path))) == ["/a", "/c"]

    @pytest.mark.parametrize("digest", ["", "x" * 64, DIGEST[:-1], DIGEST.upper()])
    def test_no_digest(self, tmp_path: Path, digest: str) -> None:
        """A record that is no digest approves nothing."""
        with pytest.raises(ConfigError, match="hexadecimal"):
            approvals.approve(str(tmp_path), "/a", digest, 0.0)
        assert approvals.read(str(tmp_path)) == {}

    @pytest.mark.parametrize(
        "text", ["", "[]", "{}", '{"approvals":[]}', '{"approvals":{"/a":{}}}', "[" * 100_000]
    )
    def test_damaged(self, tmp_path: Path, text: str) -> None:
        """A file that is not as we write it approves nothing, and is not written over."""
        (tmp_path / "approvals.json").write_text(text)
        for does in (
            lambda: approvals.read(str(tmp_path)),
            lambda: approvals.approve(str(tmp_path), "/a", DIGEST, 0.0),
        ):
            with pytest.raises(ConfigError, match=r"approvals\.json: is not as the gateway writes it"):
                does()
        assert (tmp_path / "approvals.json").read_text() == text

    def test_a_link(self, tmp_path: Path) -> None:
        """A file that is a link is the repository's own all the same, for that is where its servers are looked for."""
        (tmp_path / "kept.json").write_text("{}")
        (tmp_path / ".mcp.json").symlink_to("kept.json")
        for named in (tmp_path, tmp_path / ".mcp.json"):
            assert approvals.target(str(named)) == str(tmp_path.resolve() / ".mcp.json")

    def test_what_is_meant(self, tmp_path: Path) -> None:
        """A repository stands for the file in it, and a link to a directory for what it leads to."""
        (tmp_path / "way").symlink_to(tmp_path)
        (tmp_path / ".mcp.json").write_text("{}")
        for named in (tmp_path, tmp_path / "way", tmp_path / "way/.mcp.json"):
            assert approvals.target(str(named)) == str(tmp_path.resolve() / ".mcp.json")
        assert approvals.digest_of(str(tmp_path / ".mcp.json")) == hashlib.sha256(b"{}").hexdigest()
