"""An entry to a server: its variables expanded, its environment built, its address checked."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeVar

from attrs import evolve, field, frozen

from mcpgateway.config import environment
from mcpgateway.config.document import printable
from mcpgateway.config.entry import Classification, Entry, Scope
from mcpgateway.config.expand import FORBIDDEN, Expanded, called, expand
from mcpgateway.config.model import ServerSettings, ServerSpec, Share
from mcpgateway.config.overlay import Overlay
from mcpgateway.config.problems import Problem, Problems, Where
from mcpgateway.config.reach import is_sse
from mcpgateway.config.reach_settings import Container, Daemon, Reach, Remote, Rest, Transport
from mcpgateway.config.section import Expansion, settings_of

T = TypeVar("T")

# The root of the workspace, in the spellings of product files and editors.
ROOT_NAMES = ("workspace", "workspaceFolder")
# Only a call has the directory of its client, so they are filled in then (`mcpgateway.policy.argument_defaults`).
OF_CALLS = {
    "workspace": "${workspace}",
    "workspaceFolder": "${workspace}",
    "cwd": "${cwd}",
    "project": "${project}",
}
# Their values depend on the caller, so one that is missing when the files are read may exist later.
LATER = (Share.WORKSPACE, Share.CREDENTIAL, Share.ISOLATED)
LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")
SCHEMES = {
    "http": ("http", "https"),
    "websocket": ("ws", "wss"),
}


@frozen
class World:
    """The sources of values for entries.

    :ivar login: the environment of the user's login.
    :ivar variables: the gateway's own ``.env``, which takes precedence over it as a source of values.
    :ivar home: the user's home directory.
    :ivar classified: settings of classification files, by the server's name.
    :ivar overlays: settings of the gateway's own files that lie over servers, by the names of these.
    :ivar profiles: the values of each profile, by its name.
    :ivar outside: external values, by ``keyring:service/name`` and the like; for the gateway's own files only.
    :ivar is_token: returns true for a variable that holds a token, which a child gets only where it is named.
    :ivar own: the environment of the gateway itself, with the name of the machine as ``HOSTNAME``.
    """

    login: Mapping[str, str] = field(repr=False)
    variables: Mapping[str, str] = field(repr=False)
    home: str
    classified: Mapping[str, Classification] = field(factory=dict)
    overlays: Mapping[str, Overlay] = field(factory=dict, repr=False)
    profiles: Mapping[str, Mapping[str, str]] = field(factory=dict, repr=False)
    outside: Mapping[str, str] = field(factory=dict, repr=False)
    is_token: environment.IsToken = environment.no_token
    own: Mapping[str, str] = field(factory=dict, repr=False)

    def knows(self, name: str, policy: environment.EnvPolicy = environment.LISTED) -> bool:
        """Return whether entries may name a variable: there is a value for it."""
        return bool(self.variables.get(name) or policy.sources(self.login, self.is_token).get(name))


@frozen
class WorkspaceSpec:
    """A directory that a server is built for.

    :ivar path: its root, a real path.
    :ivar variables: its ``.env``, which takes precedence over all other sources of values.
    :ivar profiles: names of its profiles; of two values for a variable, the later one counts.
    """

    path: str
    variables: Mapping[str, str] = field(factory=dict, repr=False)
    profiles: tuple[str, ...] = ()


NOWHERE = WorkspaceSpec("")


class ServerBuilder:
    """Builds the server of one entry, once.

    :ivar problems: its problems; with an error among them, the server is not to be used.
    :param is_draft: values that depend on the caller may be missing.
    """

    def __init__(
        self,
        name: str,
        entry: Entry,
        world: World,
        workspace: WorkspaceSpec = NOWHERE,
        *,
        is_draft: bool = False,
    ) -> None:
        self.problems = Problems()
        self._name = name
        self._overlay = world.overlays.get(name)
        self._entry = entry = entry if self._overlay is None else self._overlay.over(entry)
        self._world = world
        self._workspace = workspace
        classified = world.classified.get(entry.title) or world.classified.get(name) or {}
        self._settings = {
            **{each: getattr(entry, each) for each in settings_of(ServerSettings)},
            **{each: value for each, value in classified.items() if each not in entry.explicit},
        }
        if self._settings["is_sole"]:
            self._be_sole()
        self._share: Share = self._settings["share"]
        # Values that only a workspace has may be missing before one is known.
        self._is_draft = is_draft and self._share in LATER
        # Pairs, since a variable of the entry may have the name of one that it uses, and another value.
        self._used: set[tuple[str, str]] = set()
        self._system = entry.env_policy.sources(world.login, world.is_token)
        # The values of the three levels above the system, with the workspace's ``.env`` and without.
        self._raised, self._own_raised = self._levels(workspace.variables), self._levels({})
        self._values = self._sources(self._raised)
        self._own_values = self._sources(self._own_raised)

    def _be_sole(self) -> None:
        # All sessions of the cluster use one child, so nothing is found out.
        settings, reach = self._settings, self._entry.reach
        if isinstance(reach, Remote | Rest):
            self.problems.warn(
                self._where("instances"), "has no effect, since the server does not run at the gateway"
            )
            settings["is_sole"] = False
        elif reach is not None:
            self.problems.error(
                self._where("instances"), "one is for programs that speak on their stdin and stdout"
            )
        elif settings["share"] in (Share.SESSION, Share.ISOLATED) or settings["interactive"]:
            self.problems.error(
                self._where("instances"),
                "one contradicts a process for each session",
                "leave out instances, or share and interactive",
            )
        elif settings["share"] is Share.AUTO:
            settings["share"] = Share.GLOBAL

    def server(self) -> ServerSpec:
        """Return the server."""
        entry = self._entry
        cwd = self._directory(self._text(entry.cwd, "cwd"))
        command = self._command()
        env = self._environment(cwd)
        inject = {
            name: self._filled_by_calls(text, "inject_args", name) for name, text in entry.inject.items()
        }
        rest_url = "" if isinstance(entry.reach, Rest) else self._url(entry.rest_url, "http", "rest_url")
        return ServerSpec(
            name=self._name,
            command=command,
            env=env,
            cwd=cwd,
            source=entry.origin.words,
            is_of_client=not self._is_ours("command"),
            title=entry.title,
            reach=self._reach(),
            rest_url=rest_url,
            rest_headers=self._headers(entry.rest_headers),
            health_url=self._health(rest_url),
            workspace=self._workspace.path,
            credential=self._credential(),
            project=entry.origin.project,
            **self._settings | {"inject": {name: value for name, value in inject.items() if value}},
        )

    def _lies_over(self, key: str, name: str = "") -> bool:
        """True if an overlay has a key, or a member of it."""
        overlay = self._overlay
        if overlay is None:
            return False
        if key == "env":
            return name in overlay.variables
        return name in overlay.found.get(key, {}) if key == "headers" else key in overlay.found

    def _is_ours(self, *key: str) -> bool:
        """True if the value of a key stands in a file of the gateway's own."""
        return self._entry.origin.is_ours or self._lies_over(*key[:2])

    def _where(self, *key: str) -> Where:
        """Return file, line and key of a part of the entry, or of what lies over it there."""
        if self._overlay is None or not self._lies_over(*key[:2]):
            return self._entry.where(*key)
        place = self._overlay.place
        for step in key:
            place = place.at(step)
        return place.where

    def _levels(self, variables: Mapping[str, str]) -> dict[str, str]:
        """Return the values of profiles, the gateway's ``.env`` and these variables; later ones take precedence."""
        world = self._world
        fixed = {**world.variables, **variables}
        given: dict[str, str] = {}
        for name in self._workspace.profiles or (self._entry.origin.profile,):
            for variable, text in world.profiles.get(name, {}).items():
                given[variable] = expand(text, {**self._system, **fixed, **world.outside}).text
        return {**given, **fixed}

    def _sources(self, raised: Mapping[str, str]) -> dict[str, str]:
        origin = self._entry.origin
        brought = self._world.outside if origin.is_ours else {}
        root = self._workspace.path or origin.project
        # Last, since an environment might have variables of these names.
        return {**self._system, **raised, **(dict.fromkeys(ROOT_NAMES, root) if root else {}), **brought}

    def _command(self) -> tuple[str, ...]:
        entry = self._entry
        has_args = self._lies_over("args") or (entry.place and entry.place.has("args"))
        key = "args" if has_args else "command"
        first, *rest = entry.argv or ("",)
        before = len(self.problems.errors)
        program = _home_expanded(self._safe(first, "command"), self._world.home)
        command = (program, *(self._text(each, key) for each in rest))
        if not entry.argv:
            return ()
        if not program.strip() and not self._is_draft and len(self.problems.errors) == before:
            self.problems.error(
                self._where("command"), "the command is empty once its variables are expanded"
            )
        return command

    def _reach(self) -> Reach | None:
        match self._entry.reach:
            case Remote() as reach:
                return self._remote(reach)
            case Daemon() as reach:
                return evolve(reach, url=self._own_url(reach.url))
            case Container() as reach:
                return self._expanded(reach, "docker")
            case reach:
                return self._expanded(reach) if reach else None

    def _expanded(self, settings: T, *above: str) -> T:
        """Return settings with the variables of their texts expanded, each in its declared way.

        :param above: the keys above those of the settings.
        """
        instance: Any = settings  # mypy knows no type for the instance of any attrs class
        values: dict[str, Any] = {}
        for name, how in settings_of(type(settings)).items():
            value = getattr(settings, name)
            if how.expansion is not None and value is not None:
                one = partial(self._one, how.expansion, key=(*above, how.keys[0].name))
                values[name] = tuple(map(one, value)) if isinstance(value, tuple) else one(value)
        changed: T = evolve(instance, **values)
        return changed

    def _one(self, how: Expansion, value: Any, *, key: tuple[str, ...]) -> Any:
        match how:
            case Expansion.TEXT:
                return self._text(value, *key)
            case Expansion.URL:
                return self._url(value, "http", *key)
            case Expansion.PATH:
                return self._path(self._text(value, *key))
            case Expansion.HEADERS:
                return self._headers(value, *key)
            case Expansion.PROXY:
                return self._proxy(value)
            case Expansion.IMAGE:
                # By the whole key, as it may stand there alone.
                return self._safe(value, key[0], part=_repository)
            case Expansion.PART:
                return self._expanded(value, *key)

    def _remote(self, reach: Remote) -> Remote:
        url = self._safe(reach.url, "url", part=_origin)
        configured = self._entry.transport
        by_look = Transport.SSE if is_sse(url) else Transport.STREAMABLE_HTTP
        transport = configured or (Transport.WEBSOCKET if url[:2].lower() == "ws" else by_look)
        family = "websocket" if transport is Transport.WEBSOCKET else "http"
        self._check_url(url, family if configured else "any", "url")
        is_guess = configured is None and transport is Transport.STREAMABLE_HTTP
        return evolve(self._expanded(reach), url=url, transport=transport, is_guess=is_guess)

    def _proxy(self, text: str) -> str:
        from urllib.parse import urlsplit

        url = self._safe(text, "proxy")
        if not url or self._is_draft:
            return url
        try:
            parts = urlsplit(url)
            fine = parts.scheme == "http" and bool(parts.hostname) and parts.port != 0
        except ValueError:
            fine = False
        if not fine or any(each <= " " or each == "\x7f" for each in url):
            expected = 'the URL of an HTTP proxy, http://HOST:PORT, or ""'
            self.problems.append(Problem(self._where("proxy"), "something else", expected))
        return url

    def _headers(self, headers: Mapping[str, str], key: str = "headers") -> dict[str, str]:
        found: dict[str, str] = {}
        for name, text in headers.items():
            value = self._text(text, key, name).strip(" \t")
            if FORBIDDEN.search(value):
                self.problems.error(self._where(key, name), "holds a line break or a NUL")
            elif value not in ("", "Bearer"):
                found[name] = value
        return found

    def _environment(self, cwd: str) -> dict[str, str]:
        entry = self._entry
        found = self._handed_on()
        if entry.env_policy.is_full:
            # A client's child finds its directory in PWD, as every program started by a shell does.
            found["PWD"] = cwd
        for name, text in entry.env.items():
            read = self._safe if environment.code_loading((name,)) else self._text
            value = read(text, "env", name)
            if self._is_ours("env", name) and FORBIDDEN.search(value):
                self.problems.error(self._where("env", name), "holds a line break")
            found[name] = value
            self._used.add((name, value))
        risky = environment.code_loading(entry.env)
        if risky and entry.origin.scope is not Scope.DEMO:
            names = ", ".join(printable(each) for each in risky)
            what = f"{names} can make the server run other code; be sure that you set it"
            over = [each for each in risky if self._lies_over("env", each)]
            self.problems.warn(self._where("env", *over[:1]), what)
        return found

    def _handed_on(self) -> dict[str, str]:
        """Return the variables that a child gets without being named, each from the highest level that has it."""
        entry, world = self._entry, self._world
        found = entry.env_policy.handed_on(world.login, world.is_token)
        if not (entry.origin.is_ours and entry.has_process):
            return found  # a client's own file: it knows no levels
        raised = environment.for_children(environment.beyond(self._own_raised, self._raised))
        raised = entry.env_policy.handed_on(raised, world.is_token)
        self._used |= raised.items()
        return {**found, **raised}

    def _filled_by_calls(self, text: str, *key: str) -> str:
        """Return a text with its variables expanded, but for those whose values come from each call."""
        return self._text(text, *key, values={**self._values, **OF_CALLS})

    def _safe(self, text: str, *key: str, part: Callable[[str], str] = str) -> str:
        """Return an expanded text that decides about programs or recipients of tokens, without values of a workspace.

        :param part: returns the part of the text that decides.
        """
        own, all_of_it = (expand(text, values).text for values in (self._own_values, self._values))
        if self._workspace.path and part(own) != part(all_of_it):
            file = f"{printable(self._workspace.path)}/.env"
            what = f"takes a value from {file}, which must not decide what is run or where it is"
            self.problems.error(self._where(*key), what)
        return self._text(text, *key)

    def _text(self, text: str, *key: str, values: Mapping[str, str] | None = None) -> str:
        """Return a text with its variables expanded."""
        keep = not self._is_ours(*key)
        values = values or self._values
        if not keep and not self._entry.origin.is_ours:
            values = {**values, **self._world.outside}
        found = expand(text, values, keep_unset=keep)
        self._used |= found.used.items()
        if found.demanded or found.broken or found.unset or found.lacking:
            self._report(found, key, keep=keep)
        return found.text

    def _report(self, found: Expanded, key: tuple[str, ...], *, keep: bool) -> None:
        where = self._where(*key)
        if found.lacking and keep:
            own = "counts in the gateway's own configuration only"
            what = f"{called(found.lacking[0])} {own}, and is left as it is written"
            self.problems.warn(where, what)
        elif found.lacking:
            # The fetch of an external value reports its own failure; without the value nothing else can be checked.
            self._is_draft = True
        for each in found.demanded:
            self.problems.append(Problem(where, printable(each), is_error=not self._is_draft))
        for each in found.broken:
            self.problems.error(where, f"the variable {each} holds a line break or a NUL")
        for name in dict.fromkeys(found.unset):
            outcome = "and is left as it is written" if keep else "and is read as empty"
            if not self._is_draft:
                self.problems.warn(where, f"the variable {name} is not set {outcome}")

    def _url(self, text: str, family: str, *key: str) -> str:
        url = self._safe(text, *key, part=_origin)
        if text:
            self._check_url(url, family, *key)
        return url

    def _own_url(self, text: str) -> str:
        from urllib.parse import urlsplit

        key = "url" if self._entry.place is None or self._entry.place.has("url") else "path"
        before = len(self.problems)
        url = self._url(text, "http", key)
        if len(self.problems) == before and urlsplit(url).hostname not in LOOPBACK_NAMES:
            what = Problem(
                self._where(key), "a URL of another machine", "one of this machine, such as localhost"
            )
            self.problems.append(what)
        return url

    def _check_url(self, url: str, family: str, *key: str) -> None:
        from urllib.parse import urlsplit

        allowed = SCHEMES.get(family, (*SCHEMES["http"], *SCHEMES["websocket"]))
        expected = f"a URL that begins with {', '.join(each + '://' for each in allowed)} and a host"
        try:
            parts = urlsplit(url)
            fine = parts.scheme.lower() in allowed and bool(parts.hostname) and parts.port != 0
        except ValueError:
            parts, fine = urlsplit(""), False
        if any(each <= " " or each == "\x7f" for each in url):
            fine = False
        where = self._where(*key)
        if not fine and not self._is_draft:
            self.problems.append(Problem(where, "something else", expected))
        elif "@" in parts.netloc:
            hint = "put the credentials into headers or auth"
            self.problems.append(Problem(where, "a URL with a user", "one without", hint))

    def _health(self, rest_url: str) -> str:
        health = self._text(self._entry.health, "health_endpoint")
        reach = self._entry.reach
        base = self._text(reach.base, "rest_url") if isinstance(reach, Rest) else rest_url
        return f"{base.rstrip('/')}/{health.removeprefix('/')}" if base and health else ""

    def _directory(self, cwd: str) -> str:
        if cwd:
            return self._path(cwd)
        # A child of several workspaces, or whose next session may be of another one, runs in none of them.
        own = self._workspace.path if self._share in (Share.WORKSPACE, Share.ISOLATED) else ""
        return self._entry.origin.project or own or self._world.home

    def _path(self, path: str) -> str:
        """Return a path that is relative to the file as an absolute one, and anything else (a URL) as it is."""
        path = _home_expanded(path, self._world.home)
        if not path or path.startswith("/") or "://" in path:
            return path
        base = self._entry.origin.directory.rstrip("/")
        return f"{base}/{path.removeprefix('./')}" if path != "." else base or "/"

    def _credential(self) -> str:
        from hashlib import sha256

        digest = sha256()
        for name, value in sorted(self._used):
            for part in (name, value):
                data = part.encode("utf-8", "surrogateescape")
                # Its length first, so that no two lists of values look alike.
                digest.update(b"%d:%s" % (len(data), data))
        return digest.hexdigest()


def _origin(url: str) -> str:
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{re.split(r'[/?#]', rest, maxsplit=1)[0]}"


def _repository(image: str) -> str:
    # Without its tag or digest: the same program in another version.
    path, slash, name = image.rpartition("/")
    return f"{path}{slash}{re.split('[:@]', name, maxsplit=1)[0]}"


def _home_expanded(path: str, home: str) -> str:
    return home + path[1:] if path == "~" or path.startswith("~/") else path
