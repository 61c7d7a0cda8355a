"""The configuration files as documents of the cluster: an edit at one node counts at all.

state of a file at this node                     the document has not changed   the document has changed
it is as the document was                        nothing                        the file is written
it is as the document is now                     nothing                        that is noted
it was edited                                    the document is replaced       a collision: the edit is kept aside

A document that was removed counts as changed.  A store without any file gets those of the node, as at the cluster's
beginning.  An edit through the control plane is undone where the document cannot be replaced; any other edit waits for
the store.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from mcpgateway.cluster.counts_on import Acknowledgements, CountsOn
from mcpgateway.cluster.documents import ClusterDocument, DocumentChange, Documents, OtherDocument
from mcpgateway.cluster.part import NodePart
from mcpgateway.errors import ConfigError, GatewayError, StoreLost
from mcpgateway.manage.reload import Reload
from mcpgateway.manage.shared.local_files import LocalFiles, digest_of, is_template
from mcpgateway.waiting import Waiting

KIND = "file"
HELD_S = 10.0  # for one edit through the control plane
COUNTS_ON = "Mcpgateway-Counts-On"


class SharedFiles(NodePart):
    """Keeps the configuration files of a node and the documents of the cluster the same.

    :param node: the name of the node, for what is kept aside.
    :param clock: the reactor.
    """

    log = Logger()

    def __init__(
        self,
        documents: Documents,
        acknowledgements: Acknowledgements,
        local: LocalFiles,
        reload: Reload,
        node: str,
        clock: Any,
    ) -> None:
        self._documents = documents
        self._acknowledgements = acknowledgements
        self._local = local
        self._reload = reload
        self._node = node
        self._clock = clock
        self._edits: list[FileEdit] = []
        self._pushing: frozenset[str] = frozenset()
        self._pushed: Waiting[None] = Waiting()
        self._unwritten: set[str] = set()
        documents.subscribe(KIND, self._changed)

    # Edits through the control plane

    def edit(self) -> FileEdit:
        """Begin an edit: the files that it changes are shared at its end, all or none.

        :raise ConfigError: a file cannot be read.
        """
        made = FileEdit(self, self._local.contents(), self._clock.seconds() + HELD_S)
        self._edits.append(made)
        return made

    def _ended(self, edit: FileEdit) -> None:
        if edit in self._edits:
            self._edits.remove(edit)

    async def _settle(self, edit: FileEdit) -> CountsOn | None:
        while self._pushing:
            await self._pushed.wait()
        now = self._local.contents()
        names = [name for name in {**edit.before, **now} if now.get(name) != edit.before.get(name)]
        if not names:
            return None
        try:
            number = await self._push({name: now.get(name) for name in names})
        except GatewayError:
            self._undo({name: edit.before.get(name) for name in names}, now)
            self._documents.read()
            raise
        self._documents.read()
        return await self._acknowledgements.wait(number)

    def _undo(self, before: Mapping[str, bytes | None], now: Mapping[str, bytes]) -> None:
        present = self._local.contents()
        for name, content in before.items():
            if present.get(name) == now.get(name):  # else it was edited again meanwhile
                self._local.write(name, content)
        self._reload.read_own()

    # The part of a node

    def tick(self) -> None:
        """Share what was edited by hand, and try again to write what could not be written."""
        self._edits = [each for each in self._edits if self._clock.seconds() < each.ends]
        if self._documents.is_read:
            self._reconcile()

    def _changed(self, documents: Sequence[ClusterDocument]) -> None:
        if self._documents.is_read:
            self._reconcile()

    def _reconcile(self) -> None:
        try:
            local = self._local.contents()
        except ConfigError as why:
            if "" not in self._unwritten:
                self.log.error("{why}; it is not shared", event="cluster.file_unread", why=str(why))
            self._unwritten.add("")
            return
        self._unwritten.discard("")
        documents = {each.name: each for each in self._documents.all(KIND)}
        edited: dict[str, bytes | None] = {}
        has_written = False
        for name in {**documents, **local, **self._local.followed}:
            if (
                name in self._pushing
                or self._documents.is_closed(KIND, name)
                or self._local.path(name) is None
            ):
                continue
            content, document = local.get(name), documents.get(name)
            if self._is_news(name, document, is_empty=not documents):
                has_written |= self._take(name, content, document)
            elif self._is_edited(name, content):
                edited[name] = content
        if has_written:
            self._reload.read_own()
        self._share(edited)

    def _is_news(self, name: str, document: ClusterDocument | None, *, is_empty: bool) -> bool:
        followed = self._local.followed.get(name)
        if document is not None:
            return followed is None or followed.number != document.number
        return followed is not None and bool(followed.digest) and not is_empty

    def _is_edited(self, name: str, content: bytes | None) -> bool:
        followed = self._local.followed.get(name)
        if followed is None:
            return content is not None and not is_template(content)
        is_lost = bool(followed.digest) and self._documents.get(KIND, name) is None
        return digest_of(content) != followed.digest or is_lost

    def _is_held(self, name: str, content: bytes | None) -> bool:
        return any(each.before.get(name) != content for each in self._edits)

    def _take(self, name: str, content: bytes | None, document: ClusterDocument | None) -> bool:
        """Let a file follow its document; return whether it was written."""
        wanted = document.body if document is not None else None
        number = document.number if document is not None else 0
        followed = self._local.followed.get(name)
        if content == wanted:
            self._local.follow(name, number, wanted)
            return False
        is_own = content is not None and not is_template(content)
        is_edited = digest_of(content) != (followed.digest if followed is not None else "")
        if is_edited and self._is_held(name, content):
            return False  # the edit is about to be shared or undone
        try:
            if is_edited and is_own and content is not None:
                self._keep_aside(name, content, document)
            self._local.write(name, wanted)
        except ConfigError as why:
            # It is not noted, or it would seem to have been removed here.
            if name not in self._unwritten:
                self.log.error(
                    "a change of the cluster's configuration does not count at this node: {why}",
                    event="cluster.file_unwritten",
                    why=str(why),
                )
            self._unwritten.add(name)
            return False
        self._unwritten.discard(name)
        self._local.follow(name, number, wanted)
        self.log.info(
            "{file} has changed at node {node}",
            event="cluster.file_changed",
            file=self._local.path(name),
            node=document.writer if document is not None else "",
        )
        return True

    def _keep_aside(self, name: str, content: bytes, document: ClusterDocument | None) -> None:
        at = datetime.fromtimestamp(self._clock.seconds(), UTC).strftime("%Y%m%dT%H%M%SZ")
        path = self._local.keep_aside(name, content, f"conflict-{self._node}-{at}")
        self.log.warn(
            "{file} was edited here and at node {node}: that node's edit counts, and this one is kept as {path}",
            event="cluster.file_conflict",
            file=self._local.path(name),
            node=document.writer if document is not None else "",
            path=path,
        )

    def _share(self, edited: Mapping[str, bytes | None]) -> None:
        """Replace the documents of files that were edited by hand, once the edit counts here."""
        if not edited or self._pushing or self._edits or self._reload.state.problems:
            return
        looked = self._reload.look_again()
        if not looked.called:
            return  # it is read first; the next tick looks again
        Deferred.fromCoroutine(self._push(edited)).addErrback(self._not_pushed)

    def _not_pushed(self, why: Failure) -> None:
        if why.check(OtherDocument) is not None:
            self._documents.read()
        elif why.check(StoreLost) is None:
            self.log.failure("the configuration could not be shared", why, event="cluster.files_failed")

    async def _push(self, contents: Mapping[str, bytes | None]) -> int:
        """Replace documents by files; return the number up to which nodes have to read for them.

        :raise OtherDocument: one was changed meanwhile.
        :raise StoreLost: the store does not answer.
        """
        changes = [
            DocumentChange(KIND, name, content, self._expected(name)) for name, content in contents.items()
        ]
        self._pushing = frozenset(contents)
        try:
            made = await self._documents.write(*changes)
            for each in made:
                self._local.follow(each.name, each.number, contents[each.name])
        finally:
            self._pushing = frozenset()
            self._pushed.over(None)
        self._reconcile()
        return max(each.number for each in made)

    def _expected(self, name: str) -> int:
        followed = self._local.followed.get(name)
        is_there = (
            followed is not None and bool(followed.digest) and self._documents.get(KIND, name) is not None
        )
        return followed.number if is_there and followed is not None else 0


class FileEdit:
    """An edit of shared files through the control plane.

    :ivar before: the contents of the files before it.
    :ivar ends: the time after which other edits do not wait for it any more.
    """

    def __init__(self, files: SharedFiles, before: Mapping[str, bytes], ends: float) -> None:
        self.before = before
        self.ends = ends
        self._files = files

    async def settle(self) -> Mapping[str, str]:
        """Share what the edit has changed; return the headers for its answer.

        :raise OtherDocument: another node has changed a file meanwhile; the edit is undone.
        :raise StoreLost: the store does not answer; the edit is undone.
        """
        try:
            found = await self._files._settle(self)  # noqa: SLF001 - of the same module
        finally:
            self.close()
        return {} if found is None else {COUNTS_ON: ", ".join(found.nodes)}

    def close(self) -> None:
        """End the edit."""
        self._files._ended(self)  # noqa: SLF001 - of the same module
