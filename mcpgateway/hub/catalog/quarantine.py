"""The known versions and tools of servers, and the tools that are held back because they have changed.

# Note [Unexplained changes]
The first list of a version counts as known; an upgrade makes the list of the new version known.  Any other tool or
definition has changed without an upgrade.  With ``quarantine: changed`` it is held back until its user approves it:
absent from lists, and calls are refused.  Without, it is recorded and counts as known from then on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import msgspec
from msgspec import Raw
from twisted.logger import Logger

from mcpgateway.config.model import ServerSpec
from mcpgateway.discovery.records import Item, ListKind, read_items
from mcpgateway.discovery.tool_changes import ToolChange, addition_of, change_of, digest_of
from mcpgateway.errors import ToolHeld
from mcpgateway.records import Record
from mcpgateway.system.launch.lock import HeldTool, LockedServer, SeenVersion, VersionLock

if TYPE_CHECKING:
    from mcpgateway.hub.catalog.recorded import Snapshots
    from mcpgateway.hub.upstream import Upstream
    from mcpgateway.interfaces import Launch

NAMED = 5  # changes in one line of the log


class Quarantine(Record):
    """Learns the versions and the tools of servers, and holds changed tools back.

    :ivar lock: the record of both.
    :ivar default: returns True where servers without a setting of their own are meant.
    :ivar changed: called with the name of a server of which other tools are held back now.
    :ivar generation: the number of changes of what is held back.
    """

    lock: VersionLock
    snapshots: Snapshots
    default: Callable[[], bool] = bool
    changed: Callable[[str], object] = bool
    generation: int = 0
    _versions: WeakKeyDictionary[Any, str] = msgspec.field(default_factory=WeakKeyDictionary)

    log = Logger()

    def is_on(self, server: ServerSpec) -> bool:
        """True if changed tools of a server are held back."""
        return self.default() if server.quarantine is None else server.quarantine

    def held(self, server: ServerSpec) -> Mapping[str, HeldTool]:
        """Return the tools of a server that are held back, by name."""
        known = self.lock.servers.get(server.name)
        return known.held if known is not None and self.is_on(server) else {}

    def check(self, server: ServerSpec, tool: str) -> None:
        """Check that a tool is not held back.

        :raise ToolHeld: it is.
        """
        held = self.held(server).get(tool)
        if held is not None:
            raise ToolHeld(server.name, tool, held.change.words)

    def left(self, server: ServerSpec, items: Iterable[Item]) -> tuple[Item, ...]:
        """Return those of a server's tools whose definitions are known; the others are held back from now on."""
        found = tuple(items)
        known = self.lock.servers.get(server.name) if self.is_on(server) else None
        if known is None or known.current.tools is None:
            return found
        news = self._news(server, known, found)
        present = {each.own for each in found}  # of one page, perhaps
        others = {name: each for name, each in known.held.items() if name not in present}
        self._hold(server.name, known, others | news)
        return tuple(each for each in found if each.own not in news)

    def versions(self, server: ServerSpec) -> tuple[str, str]:
        """Return the version of a server's package in use, and a newer one; each empty where there is none."""
        known = self.lock.servers.get(server.name)
        if known is None:
            return "", ""
        return known.current.version, known.newer.version if known.newer is not None else ""

    def shown(self, server: ServerSpec) -> dict[str, Any]:
        """Return the entry of a server as JSON; empty without one."""
        known = self.lock.servers.get(server.name)
        if known is None:
            return {}
        current, newer = known.current, known.newer
        made: dict[str, Any] = {
            "package": known.package,
            "runner": known.runner,
            "requested": known.requested,
            "version": current.version,
            "integrity": current.integrity,
            "seen_at": current.seen_at,
            "tools": {name: digests[0] for name, digests in (current.tools or {}).items()},
            "rollback": known.former.version if known.former is not None else "",
            "republished": known.republished,
            "held": [_shown(each) for each in self.held(server).values()],
        }
        if newer is not None:
            made["newer"] = {
                "version": newer.version,
                "integrity": newer.integrity,
                "found_at": newer.seen_at,
                "compared": newer.tools is not None,
                "fault": newer.fault,
                "changes": [_change(each) for each in newer.changes],
            }
        return made

    def approve(self, server: ServerSpec, tools: Iterable[str]) -> None:
        """Count the present definitions of tools that are held back as known."""
        known = self.lock.servers[server.name]
        known.approve(tools)
        self.settle(server.name, known)

    # Learning

    def launching(self, slot: Any, launch: Launch) -> None:
        """Take the launch of a slot's next child."""
        package, name = launch.package, slot.server.name
        self._versions[slot] = package.version if package is not None else ""
        if package is None:
            return
        known = self.lock.servers.get(name)
        seen = SeenVersion(package.version, package.integrity, seen_at=self.lock.seconds())
        if known is None or not known.is_of(package.name, package.requested):
            self.lock.put(name, LockedServer(package.name, package.runner, package.requested, seen))
            return
        if known.former is not None and known.former.version == package.version:
            return  # it was prepared before an upgrade
        if known.current.version != package.version:
            self.lock.put(name, LockedServer(package.name, package.runner, package.requested, seen))
            return
        former = known.current.integrity
        if not former and package.integrity:
            known.current.integrity = package.integrity
            self.lock.put(name, known)
        elif package.integrity not in ("", former, known.republished):
            known.republished = package.integrity
            self.lock.put(name, known)
            self.log.warn(
                "{server}: {package} {version} has other files than before, though its version is the same",
                event="server.republished",
                server=name,
                package=package.name,
                version=package.version,
            )

    def listed(self, slot: Upstream, pages: tuple[Raw, ...]) -> None:
        """Take a whole list of tools of a slot's child, before it replaces the recorded one."""
        server = slot.server
        known = self.lock.servers.get(server.name)
        if known is None and not self.is_on(server):
            return
        known = known or LockedServer(current=SeenVersion(seen_at=self.lock.seconds()))
        if self._versions.get(slot, known.current.version) != known.current.version:
            return  # a child of the version before an upgrade
        items = read_items(server.name, ListKind.TOOL, pages)
        if known.current.tools is None:
            known.current.tools = {each.own: [digest_of(each)] for each in items}
            self.lock.put(server.name, known)
            return
        news = self._news(server, known, items)
        if not news and not known.held:
            return
        if self.is_on(server):
            self._hold(server.name, known, news)
        else:
            known.current.learn({name: each.digest for name, each in news.items()})
            known.held.clear()
            self.lock.put(server.name, known)
            self.log.info(
                "{server} has changed tools without an upgrade: {changes}",
                event="server.tools_changed",
                server=server.name,
                changes=_in_words(news) or "none",
            )

    def _news(self, server: ServerSpec, known: LockedServer, items: tuple[Item, ...]) -> dict[str, HeldTool]:
        """Return the tools whose definitions are not known, with their difference from the recorded ones."""
        digests = {each: digest_of(each) for each in items}
        strange = [each for each, digest in digests.items() if not known.knows(each.own, digest)]
        former = {each.own: each for each in self._recorded(server)} if strange else {}
        found: dict[str, HeldTool] = {}
        for each in strange:
            held = known.held.get(each.own)
            if held is None or held.digest != digests[each]:
                before = former.get(each.own)
                change = (change_of(before, each) if before is not None else None) or addition_of(each)
                held = HeldTool(digests[each], self.lock.seconds(), change)
            found[each.own] = held
        return found

    def _hold(self, name: str, known: LockedServer, news: dict[str, HeldTool]) -> None:
        if news == known.held:
            return
        fresh = {each: new for each, new in news.items() if known.held.get(each) is not new}
        known.held = news
        self.settle(name, known)
        if fresh:
            self.log.warn(
                "tools of {server} are held back, since no upgrade explains: {changes}",
                event="server.tools_held",
                server=name,
                changes=_in_words(fresh),
            )

    def settle(self, name: str, known: LockedServer) -> None:
        """Write the entry of a server of which other tools are known or held back now, and tell its clients."""
        self.lock.put(name, known)
        self.generation += 1
        self.changed(name)

    def _recorded(self, server: ServerSpec) -> tuple[Item, ...]:
        place = self.snapshots.place_of(server)
        known = self.snapshots.newest(server.name, place, ListKind.TOOL.method)
        return () if known is None else read_items(server.name, ListKind.TOOL, known.pages)


def _in_words(news: Mapping[str, HeldTool]) -> str:
    words = [each.change.words for each in news.values()]
    return "; ".join(words[:NAMED]) + (f" and {len(words) - NAMED} more" if len(words) > NAMED else "")


def _shown(held: HeldTool) -> dict[str, Any]:
    return {**_change(held.change), "digest": held.digest, "since": held.since}


def _change(change: ToolChange) -> dict[str, Any]:
    return {
        "tool": change.tool,
        "kind": change.kind,
        "parts": list(change.parts),
        "breaks": list(change.breaks),
        "before": change.before,
        "after": change.after,
        "words": change.words,
    }
