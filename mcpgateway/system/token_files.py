"""The storage of tokens: those of the gateway itself in files of their own, those of agents as digests."""

from __future__ import annotations

import base64
import os
import re
import secrets
import stat
from collections.abc import Mapping

import msgspec

from mcpgateway.errors import ConfigError
from mcpgateway.policy import agent_tokens
from mcpgateway.policy.agent_tokens import AgentToken
from mcpgateway.records import FrozenRecord
from mcpgateway.shim.locations import variable
from mcpgateway.system import files, home_files

AUTH, ADMIN = "auth.token", "admin.token"
AGENTS = "tokens.json"
VARIABLES = {AUTH: "MCPGATEWAY_AUTH_TOKEN", ADMIN: "MCPGATEWAY_ADMIN_TOKEN"}
BYTES = 32
# A file that an earlier start left half-written must not be mistaken for a token.
CHARACTERS = len(base64.urlsafe_b64encode(bytes(BYTES)).rstrip(b"="))
STRONG = re.compile(r"[A-Za-z0-9_-]{43,512}")


class TokenFiles(FrozenRecord, frozen=True):
    """The files of tokens in a home; only their owner may read them.

    :ivar environ: variables that may set the gateway's own tokens, as in a container; the files are then written to
        agree.
    """

    home: str
    environ: Mapping[str, str] = msgspec.field(default_factory=dict)

    def own(self) -> tuple[str, str]:
        """Return the gateway's two tokens, made where they are missing.

        :raise ConfigError: they can be neither read nor made, or a variable holds no valid token.
        """
        return self._own(AUTH), self._own(ADMIN)

    def _own(self, name: str) -> str:
        given = variable(self.environ, VARIABLES[name])
        if not given:
            return read_or_create(self._at(name))
        if not STRONG.fullmatch(given) or given.startswith(agent_tokens.PREFIX):
            raise ConfigError(
                f"{VARIABLES[name]}: expected at least 43 of A-Z a-z 0-9 - _, and no agent's token; such as: "
                "python3 -c 'import secrets; print(secrets.token_urlsafe(32))'"
            )
        home_files.keep(self._at(name), given.encode() + b"\n")
        return given

    def renew(self, name: str) -> str:
        """Replace one of these tokens by a new one.

        :raise ConfigError: the file cannot be written.
        """
        try:
            with files.locked(self.home):
                return _new(self._at(name))
        except OSError as why:
            raise home_files.refused(self._at(name), "written", why) from why

    def agents(self) -> tuple[AgentToken, ...]:
        """Return the tokens of agents.

        :raise ConfigError: their file cannot be read as a whole, or other users may write to it.
        """
        path = self._at(AGENTS)
        try:
            with os.fdopen(home_files.open_to_read(path), "rb") as stream:
                if stat.S_IMODE(os.fstat(stream.fileno()).st_mode) & 0o022:
                    raise ConfigError(
                        f"{path}: others may write to it",
                        "see what is in it, then take their rights away: chmod 600",
                    )
        except FileNotFoundError:
            return ()
        return agent_tokens.read(home_files.read(path, agent_tokens.FILE_LIMIT), path)

    def keep(self, tokens: tuple[AgentToken, ...]) -> None:
        """Write these tokens of agents, in place of all former ones.

        :raise ConfigError: the file cannot be written.
        """
        home_files.keep(self._at(AGENTS), agent_tokens.written(tokens))

    def _at(self, name: str) -> str:
        return os.path.join(self.home, name)


def read_or_create(path: str) -> str:
    """Return the secret that a file keeps; make it where the file is missing or holds none.

    :raise ConfigError: the file can be neither read nor made, or is not a file of this user.
    """
    try:
        # Two processes that start at once must not each make their own.
        with files.locked(os.path.dirname(path) or "."):
            return _existing(path) or _new(path)
    except (OSError, ValueError) as why:
        raise home_files.refused(path, "used", why) from why


def _existing(path: str) -> str | None:
    try:
        descriptor = home_files.open_to_read(path)
    except FileNotFoundError:
        return None
    with os.fdopen(descriptor, "rb") as stream:
        if stat.S_IMODE(os.fstat(descriptor).st_mode) != 0o600:
            os.fchmod(descriptor, 0o600)
        token = stream.read(4096).strip()
    if len(token) < CHARACTERS or not token.isascii():
        return None
    return token.decode("ascii")


def _new(path: str) -> str:
    token = secrets.token_urlsafe(BYTES)
    home_files.keep(path, token.encode("ascii") + b"\n")
    return token
