"""From a KeePass database to the servers of a running gateway."""

from __future__ import annotations

import json

import pytest

from tests.support import forkserver
from tests.support.gateway import BIN, Gateway, eventually, server
from tests.support.keepass import PASSWORD, database
from tests.support.real_servers import fixture

pytestmark = pytest.mark.functional


class ServerTests:
    def test_to_server(self, tmp_path):
        """A server that has an entry's name gets its variables, one that is reached by URL its headers as well."""
        database(tmp_path / "vault.kdbx")
        url = {"url": "http://127.0.0.1:9/mcp", "env": {}}
        gateway = Gateway(tmp_path, {"mail-1": server(fixture(), lazy=False)})
        gateway.config.write_text(
            json.dumps(
                {
                    **(said := json.loads(gateway.config.read_text())),
                    "servers": {**said["servers"], "github": url},
                }
            )
        )
        gateway.config.chmod(0o644)
        with gateway:
            ran = forkserver.ran(
                [
                    str(BIN / "mcpgateway"),
                    "--home",
                    str(gateway.home),
                    "--json",
                    "credential",
                    "import-kdbx",
                    str(tmp_path / "vault.kdbx"),
                    "--password-stdin",
                    "--to-server",
                ],
                given=PASSWORD,
                has_ended=False,
            )
            said = json.loads(ran.stdout)
            results = {each["name"]: each for each in said["results"]}
            assert said["mode"] == "to-server"
            assert results["mail-1"]["status"] == "ok", said
            assert results["github"]["status"] in {"ok", "partial"}, said
            written = json.loads(gateway.config.read_text())["servers"]
            assert written["mail-1"]["env"]["MAIL_1_PASSWORD"] == "second"
            assert gateway.config.stat().st_mode & 0o777 == 0o600
            assert written["github"]["headers"]["X-Api-Key"] == "${:-$}{HOME}"
            assert all(each not in ran.stdout + gateway.log for each in ("second", PASSWORD, "ghp_"))
            eventually(lambda: gateway.health()["config"]["ok"], "what was written is served")
