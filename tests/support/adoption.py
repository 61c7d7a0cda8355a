"""Adopting a client's file and giving it back, as simply as that can be done over the ledger."""

from __future__ import annotations

from attrs import evolve

from mcpgateway.config.clients.dialect import Base
from mcpgateway.config.clients.dialects import DIALECTS
from mcpgateway.config.clients.rewrite import give_back, replace
from mcpgateway.host.ledger import Adopted, Enrolled, Ledger, Rewritten, unwound

BASE = Base(9100, frozenset(("localhost",)))
SECRET = "hush-token"
# A comment, odd spacing and a line end of the other kind, so that only an exact way back gives the same bytes.
ORIGINAL = (
    '{\n  "numStartups": 3,\r\n  "mcpServers": {\n'
    '    "git": {"command": "uvx",   "args": ["mcp-server-git"], "env": {"TOKEN": "%s"}},\n'
    '    "time": {\n\t"command": "uvx", "args": ["mcp-server-time"]},\n'
    '    "files": {"command": "npx"}\n  },\n  "projects": {}\n}' % SECRET
)


class Adopter:
    """Adopts one file of Claude Code."""

    def __init__(self, ledger: Ledger, path: str) -> None:
        self.ledger = ledger
        self.path = path

    def apply(self, *names: str):
        """Let these servers lead to the gateway."""

        def edit(text: str, former: Adopted | None) -> Rewritten:
            wishes = [
                (("mcpServers", name), {"type": "http", "url": f"http://localhost:9100/{name}/mcp"})
                for name in names
                if f"localhost:9100/{name}/mcp" not in text
            ]
            made, replaced = replace(text, self.path, wishes)
            entries = dict(former.entries) if former else {}
            entries |= {each.road: Enrolled(each.title, each) for each in replaced}
            return Rewritten(made, Adopted(self.path, "claude-code", entries=entries))

        return self.ledger.change(self.path, edit)

    def suspend(self):
        """Give it back for now."""
        return self._given_back(lambda former: evolve(former, suspended="stopped"))

    def undo(self):
        """Give it back for good."""
        return self._given_back(lambda former: None)

    def _given_back(self, latter):
        def edit(text: str, former: Adopted | None) -> Rewritten:
            if former is None:
                return Rewritten(text, None)
            exact = unwound(former, text)
            if exact is None:
                replaced = [each.replaced for each in former.entries.values()]
                exact = give_back(text, self.path, DIALECTS[former.dialect], BASE, replaced).text
            return Rewritten(exact, latter(former))

        return self.ledger.change(self.path, edit)
