"""Where tokens are kept: those of the gateway itself in files of their own, those of agents by their digests."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping

from attrs import field, frozen

from mcpgateway.errors import ConfigError
from mcpgateway.host import files
from mcpgateway.rules import tokenbook
from mcpgateway.rules.tokenbook import AgentToken

AUTH, ADMIN = "auth.token", "admin.token"
AGENTS = "tokens.json"
VARIABLES = {AUTH: "MCP_GATEWAY_AUTH_TOKEN", ADMIN: "MCP_GATEWAY_ADMIN_TOKEN"}
STRONG = re.compile(r"[A-Za-z0-9_-]{43,512}")


@frozen
class TokenFiles:
    """The files of tokens in a home; all of them are for their owner alone.

    :ivar environ: where the gateway's own tokens may be given, as in a container; their files say the same then.
    """

    home: str
    environ: Mapping[str, str] = field(factory=dict, repr=False)

    def own(self) -> tuple[str, str]:
        """The gateway's two tokens, made where there are none.

        :raise ConfigError: they can be neither read nor made, or what was given is no token.
        """
        return self._own(AUTH), self._own(ADMIN)

    def _own(self, name: str) -> str:
        given = self.environ.get(VARIABLES[name])
        if not given:
            return files.read_or_create_token(self._at(name))
        if not STRONG.fullmatch(given) or given.startswith(tokenbook.PREFIX):
            raise ConfigError(
                f"{VARIABLES[name]}: expected at least 43 of A-Z a-z 0-9 - _, and no agent's token; such as: "
                "python3 -c 'import secrets; print(secrets.token_urlsafe(32))'"
            )
        files.write_atomic(self._at(name), given.encode() + b"\n", follows=False)
        return given

    def renew(self, name: str) -> str:
        """Make another token in place of one of those.

        :raise ConfigError: it cannot be kept.
        """
        try:
            return files.renew_token(self._at(name))
        except OSError as why:
            raise ConfigError(f"{self._at(name)}: cannot be written: {why.strerror}") from why

    def agents(self) -> tuple[AgentToken, ...]:
        """The tokens of agents.

        :raise ConfigError: their file cannot be read as a whole, or is not ours alone.
        """
        path = self._at(AGENTS)
        try:
            found = os.lstat(path)
        except FileNotFoundError:
            return ()
        except OSError as why:
            raise ConfigError(f"{path}: cannot be read: {why.strerror}") from why
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid():
            raise ConfigError(f"{path}: is not a regular file of this user")
        if stat.S_IMODE(found.st_mode) & 0o022:
            raise ConfigError(f"{path}: others may write to it; see what is in it, then chmod 600 it")
        return tokenbook.read(files.read_bytes(path, tokenbook.FILE_LIMIT), path)

    def keep(self, tokens: tuple[AgentToken, ...]) -> None:
        """Keep these tokens of agents, and no others.

        :raise ConfigError: they cannot be kept.
        """
        try:
            files.write_atomic(self._at(AGENTS), tokenbook.written(tokens), follows=False)
        except OSError as why:
            raise ConfigError(f"{self._at(AGENTS)}: cannot be written: {why.strerror}") from why

    def _at(self, name: str) -> str:
        return os.path.join(self.home, name)
