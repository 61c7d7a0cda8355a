"""The prompt over SSH, on loopback, for the owners of the public keys in a file; needs ``twisted[conch]``."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from io import BytesIO
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from twisted.conch.checkers import IAuthorizedKeysDB, SSHPublicKeyChecker, readAuthorizedKeyFile
from twisted.conch.insults.insults import ServerProtocol
from twisted.conch.manhole_ssh import ConchFactory, TerminalRealm, TerminalSession, TerminalUser
from twisted.conch.ssh.connection import SSHConnection
from twisted.conch.ssh.keys import Key
from twisted.conch.ssh.session import SSHSession
from twisted.conch.ssh.transport import SSHServerTransport
from twisted.conch.ssh.userauth import SSHUserAuthServer
from twisted.cred.portal import Portal
from twisted.internet.interfaces import IAddress, IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from mcpgateway.errors import ConfigError
from mcpgateway.frontends.manhole.shell import CONNECTIONS, Namespace, Shell
from mcpgateway.system import files, home_files

LOGIN_S = 30
ATTEMPTS = 6
KEYS_LIMIT = 262_144
HOST_KEY_LIMIT = 16_384
WIDTH, HEIGHT = 80, 24


@implementer(IAuthorizedKeysDB)
class AuthorizedKeys:
    """The accepted keys, from a file that is read at each login."""

    log = Logger()

    def __init__(self, path: str) -> None:
        self._path = path

    def getAuthorizedKeys(self, username: bytes) -> Iterator[Key]:
        """Return the accepted keys, for any user name; none if other users may write the file."""
        try:
            data = files.read_bytes(self._path, KEYS_LIMIT)
            found = os.stat(self._path)
        except (OSError, ConfigError) as why:
            self._refuse(str(why))
            return iter(())
        if found.st_uid not in (0, os.geteuid()) or stat.S_IMODE(found.st_mode) & 0o022:
            self._refuse("others than its owner may write to it, or it belongs to somebody else")
            return iter(())
        return readAuthorizedKeyFile(BytesIO(data))

    def _refuse(self, why: str) -> None:
        self.log.warn(
            "the manhole accepts no keys: {file} cannot be used ({why})",
            event="manhole.keys",
            file=self._path,
            why=why,
        )


class KeyLogin(SSHUserAuthServer):
    """Accepts a login by an accepted key, within a time limit."""

    loginTimeout = LOGIN_S
    attemptsBeforeDisconnect = ATTEMPTS


class PromptChannel(SSHSession):
    """A prompt and nothing else: no commands, no subsystems, no forwarding."""

    def request_exec(self, data: bytes) -> int:
        """Refuse to run a command."""
        return 0

    def request_subsystem(self, data: bytes) -> int:
        """Refuse a subsystem."""
        return 0


class User(TerminalUser):
    """The user of a login."""

    def __init__(self, original: Any, avatar_id: Any) -> None:
        super().__init__(original, avatar_id)
        self.channelLookup = {b"session": PromptChannel}


class PromptSession(TerminalSession):
    """A prompt on a terminal, or without one."""

    width, height = WIDTH, HEIGHT
    _proto: Any = None

    def openShell(self, proto: Any) -> None:
        """Start the prompt."""
        self._proto = proto
        super().openShell(proto)

    def windowChanged(self, newWindowSize: Any) -> None:
        """Ignore the size of the terminal."""

    def eofReceived(self) -> None:
        """End the session after the received lines have run."""
        if self._proto is not None:
            self._proto.loseConnection()


class SshShell(Shell):
    """A prompt over SSH."""

    way = "SSH"


class PromptTransport(SSHServerTransport):
    """A counted connection, which is closed if its login takes too long."""

    _timer: IDelayedCall | None = None

    def __init__(self, clock: IReactorTime, known: set[PromptTransport]) -> None:
        super().__init__()
        self._clock = clock
        self._known = known

    def connectionMade(self) -> None:
        """Count the connection and start its login time."""
        self._known.add(self)
        self._timer = self._clock.callLater(LOGIN_S, self._late)
        super().connectionMade()

    def _late(self) -> None:
        self._timer = None
        if getattr(self, "avatar", None) is None:
            self.end()

    def end(self) -> None:
        """Close the connection."""
        stream: Any = self.transport
        stream.abortConnection()

    def connectionLost(self, reason: Failure | None = None) -> None:
        """Count the connection out."""
        self._known.discard(self)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        super().connectionLost(reason)


class SshFactory(ConchFactory):
    """Serves the prompt over SSH."""

    noisy = False
    services = {b"ssh-userauth": KeyLogin, b"ssh-connection": SSHConnection}

    def __init__(
        self, clock: IReactorTime, host_key: Key, authorized_keys: str, namespace: Namespace
    ) -> None:
        realm: Any = TerminalRealm()
        realm.userFactory, realm.sessionFactory = User, PromptSession
        realm.chainedProtocolFactory = lambda: ServerProtocol(SshShell, dict(namespace()))
        super().__init__(Portal(realm, [SSHPublicKeyChecker(AuthorizedKeys(authorized_keys))]))
        self._open: set[PromptTransport] = set()
        self.protocol = lambda: PromptTransport(clock, self._open)
        keys: Any = {host_key.sshType(): host_key.public()}, {host_key.sshType(): host_key}
        self.publicKeys, self.privateKeys = keys

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """Serve another connection, unless too many are open."""
        return super().buildProtocol(addr) if len(self._open) < CONNECTIONS else None

    def end(self) -> None:
        """Close all connections."""
        for each in tuple(self._open):
            each.end()


def host_key(path: str, make: Callable[[], Ed25519PrivateKey] = Ed25519PrivateKey.generate) -> Key:
    """Return the gateway's own host key, which is made once and readable by its owner only.

    :raise ConfigError: the key can be neither read nor made.
    """
    directory = os.path.dirname(path)
    home_files.make_directory(directory)
    try:
        with files.locked(directory):
            if not os.path.lexists(path):
                home_files.keep(path, Key(make()).toString("openssh"))
        os.close(home_files.open_to_write(path))  # readable by the owner only
        key: Key = Key.fromString(home_files.read(path, HOST_KEY_LIMIT))
    except ConfigError:
        raise
    except Exception as why:  # noqa: BLE001 - the parser raises many types
        raise ConfigError(f"{path}: cannot be used as a host key ({type(why).__name__})") from None
    return key
