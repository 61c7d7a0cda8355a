"""A gateway in memory whose settings stand in a file, to be edited while it runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, succeed

from mcpgateway.app.admission import Admission
from mcpgateway.app.daemon import GatewayService, SettingsOrigin
from mcpgateway.app.hub import settle
from mcpgateway.app.restart import InPlaceRestart
from mcpgateway.clientfiles.reader import enrolled_files
from mcpgateway.config.diff import compare
from mcpgateway.config.gateway_settings import GatewaySettings
from mcpgateway.config.settings import Settings
from mcpgateway.frontends.http.peers import Callers
from mcpgateway.manage.departed_principals import DepartedPrincipals
from mcpgateway.manage.enrolment import Enrolment
from mcpgateway.manage.memory import MemoryUpkeep
from mcpgateway.manage.reload import Reload, ReloadState
from mcpgateway.system.fingerprint import Fingerprints
from mcpgateway.system.settings import ExaminedSettings, LoadOptions, examine, gather
from tests.support.gateway_in_memory import Answer, Client, MemoryGateway
from tests.support.instruments import MemoryWorld


class Addresses:
    """A listener without an address."""

    http_port = 9100
    words: tuple[str, ...] = ()


class Unclaimed:
    """The claim of a gateway that a client's program has started."""

    started_by = "shim"

    def is_wanted(self) -> bool:
        return False


class Edited(MemoryGateway):
    """The gateway, and the service that follows its file, on memory ends.

    :ivar said: what the file says.
    :ivar following: what reads it.
    :ivar environ: what values of servers come from.
    :ivar world: what the health of its servers is measured with.
    :ivar errand_words: what was to be done about clients' files.
    :ivar trusted: the authorization servers whose tokens were to be taken.
    :ivar rerouted: the settings whose proxies were to be used.
    """

    def __init__(self, home: Path, said: dict[str, Any], **parts: Any) -> None:
        self.path = home / "config.json"
        self.path.write_text(json.dumps(said))
        environ = {"HOME": str(home), "PATH": "/bin"}
        options = LoadOptions(home=str(home), sources=(), enrolled=enrolled_files)
        found = examine(options, environ)
        assert found.settings is not None, [str(each) for each in found.problems]
        self.world = MemoryWorld()
        super().__init__(settings=found.settings, instruments=self.world.instruments, **parts)
        self.said, self.options, self.environ, self.home = said, options, environ, str(home)
        self.errand_words: list[tuple[str, ...]] = []
        self.trusted: list[Any] = []
        self.rerouted: list[Any] = []
        self.following = self.reload = self._reload(found)
        self.callers = Callers(trusts_others=False)
        front = Admission(
            self.root,
            self.guard,
            self.callers,
            self.bearers,
            self.trusted.append,
            self.rerouted.append,
            DepartedPrincipals(self.bearers, self.guard.trusts, tuple, self._no_logins),
        )
        settle(self.dispatcher, found.settings, self.home, self.clock)
        self.service = self._service(front)
        front.apply(compare(Settings(GatewaySettings(), ()), found.settings))

    def _no_logins(self) -> Any:
        raise AssertionError("nothing was granted to anybody")

    def _reload(self, found: ExaminedSettings) -> Reload:
        assert found.settings is not None
        begun = ReloadState(self.clock.seconds(), found.files)
        essences, path = Fingerprints(()), str(self.path)
        return Reload(
            found.settings,
            begun,
            self.examine,
            self.clock,
            essences,
            path,
            lambda: gather(self.options, self.environ),
        )

    def _service(self, front: Admission) -> GatewayService:
        enrolment = Enrolment(self._errand, self.clock, self.following.read)
        enrolment.begin(self.settings)
        return GatewayService(
            self.settings,
            self.home,
            self.clock,
            None,
            Addresses(),  # type: ignore[arg-type]
            self.factory,
            self.door,
            self.hub,
            self.owners,
            self.reaper,
            MemoryUpkeep(self.dispatcher, lambda: None),
            None,  # type: ignore[arg-type]  # nothing is stopped
            self.launcher,  # type: ignore[arg-type]
            front,
            self.following,
            enrolment,
            SettingsOrigin(self.examine),
            Unclaimed(),  # type: ignore[arg-type]
            InPlaceRestart(self.clock, None),
            self.observation,
        )

    def _errand(self, *words: str) -> Deferred[Any]:
        self.errand_words.append(words)
        return succeed({})

    def examine(self) -> ExaminedSettings:
        """Read the file."""
        return examine(self.options, self.environ)

    def put(self, key_path: str, value: Any) -> None:
        """Change the file, and let the gateway notice."""
        *above, name = key_path.split(".")
        at = self.said
        for each in above:
            at = at.setdefault(each, {})
        at[name] = value
        self.save()

    def save(self) -> None:
        """Write down what is said, and let the gateway notice."""
        self.path.write_text(json.dumps(self.said))
        self.following.read()
        assert self.following.state.problems == (), [str(each) for each in self.following.state.problems]
        self.settings = self.following.settings

    def beat(self, times: int = 1) -> None:
        """Advance the clock of the whole service by some seconds."""
        for _ in range(times):
            self.service._tick()
            self.clock.advance(1)

    def get(self, path: str, **headers: str) -> Answer:
        """Return the answer to a GET."""
        client = Client(self.factory.buildProtocol(None), path, {"Content-Type": "", **headers})
        return client.ask(b"", "GET")
