"""The tokens of agents as documents of the cluster: one that is made or revoked at a node counts at all nodes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from twisted.internet.defer import DeferredList
from twisted.logger import Logger

from mcpgateway.cluster.counts_on import Acknowledgements
from mcpgateway.cluster.documents import ClusterDocument, Documents, OtherDocument
from mcpgateway.cluster.part import NodePart
from mcpgateway.errors import ConfigError, InvalidParams, NotThere
from mcpgateway.manage.credentials import CredentialStore
from mcpgateway.policy import agent_tokens
from mcpgateway.policy.agent_tokens import AgentToken
from mcpgateway.system.token_files import TokenFiles

KIND = "token"


class SharedTokens(NodePart):
    """The agents' tokens of a cluster, each a document with its digest, named like the token.

    # Note [A store that is lost]
    A node that cannot reach the store hears of no revocation.  After a time it takes no token of the store any more.

    :ivar is_sure: true while the node knows which tokens are valid.
    :ivar learnt: called once the node has read the store in this life.
    :param files: the tokens of the home; those of the time before the cluster become the cluster's.
    :param limit_s: the time in seconds for which a node without the store takes tokens.
    """

    log = Logger()

    def __init__(
        self,
        documents: Documents,
        acknowledgements: Acknowledgements,
        bearers: CredentialStore,
        files: TokenFiles,
        limit_s: float,
    ) -> None:
        self.learnt: Callable[[], object] = bool
        self._documents = documents
        self._acknowledgements = acknowledgements
        self._bearers = bearers
        self._files = files
        self._limit_s = limit_s
        self._is_lost = False
        self._has_learnt = False
        documents.subscribe(KIND, self._changed)
        self._admit()

    @property
    def is_sure(self) -> bool:
        """True while the node knows which tokens are valid."""
        return self._has_learnt and not self._is_lost

    @property
    def is_lost(self) -> bool:
        """True if the store has been gone for too long."""
        return self._is_lost

    def unready(self) -> str:
        """Return why the node is not ready for clients; empty if it is."""
        return "the store of the cluster is gone" if self._is_lost else ""

    async def add(self, token: AgentToken) -> Mapping[str, Any]:
        """Admit one more token; return on which nodes it counts.

        :raise InvalidParams: there is one of its name.
        :raise StoreLost: the store does not answer.
        """
        body = agent_tokens.written((token,))
        try:
            made = await self._documents.replace(KIND, token.name, body, 0)
        except OtherDocument as why:
            raise InvalidParams(
                f"there is a token called {token.name} already", "revoke that first, or take another name"
            ) from why
        return await self._counted(made)

    async def remove(self, token: AgentToken) -> Mapping[str, Any]:
        """Revoke a token; return on which nodes it is refused.

        :raise NotThere: it was revoked meanwhile.
        :raise StoreLost: the store does not answer, so it may still be valid.
        """
        held = self._documents.get(KIND, token.name)
        try:
            gone = await self._documents.remove(KIND, token.name, held.number if held is not None else 0)
        except OtherDocument as why:
            raise NotThere(f"the token was revoked at node {why.document.writer} meanwhile") from why
        return await self._counted(gone)

    async def _counted(self, document: ClusterDocument) -> Mapping[str, Any]:
        self._documents.read()
        return (await self._acknowledgements.wait(document.number)).shown()

    # The part of a node

    def tick(self) -> None:
        """Refuse all tokens once the store has been gone for too long."""
        is_lost = self._documents.lost_s > self._limit_s
        if is_lost is not self._is_lost:
            self._is_lost = is_lost
            self._say()
            self._admit()
        if self._documents.is_read and not self._has_learnt:
            self._has_learnt = True
            self._bring()
            self.learnt()

    def _changed(self, documents: Sequence[ClusterDocument]) -> None:
        self._admit()

    def _admit(self) -> None:
        found = () if self._is_lost else tuple(_tokens(self._documents.all(KIND)))
        self._bearers.admit_agents(found)

    def _say(self) -> None:
        if self._is_lost:
            self.log.error(
                "agents' tokens are refused: the store of the cluster has been gone for {limit:g} s, and a"
                " revocation would not be heard of",
                event="cluster.tokens_refused",
                limit=self._limit_s,
            )
        else:
            self.log.info("agents' tokens count again", event="cluster.tokens_taken")

    def _bring(self) -> None:
        """Give the tokens of the time before the cluster to all nodes."""
        try:
            former = self._files.agents()
        except ConfigError as why:
            self.log.error("{why}", event="cluster.tokens_unread", why=str(why))
            return
        if not former:
            return
        puts = [self._documents.replace(KIND, each.name, agent_tokens.written((each,)), 0) for each in former]

        def brought(results: list[tuple[bool, Any]]) -> None:
            refused = [
                each.name
                for each, (is_done, why) in zip(former, results, strict=True)
                if not is_done and why.check(OtherDocument) is not None
            ]
            if refused:
                self.log.warn(
                    "these tokens of this home do not count, since the cluster has others of their names: {names}",
                    event="cluster.tokens_left",
                    names=", ".join(refused),
                )
            if all(is_done or why.check(OtherDocument) is not None for is_done, why in results):
                self._files.keep(())  # or a token that is revoked later would come back at the next start

        DeferredList(puts, consumeErrors=True).addCallback(brought).addErrback(self._not_brought)

    def _not_brought(self, why: Any) -> None:
        self.log.failure("the tokens of this home could not be shared", why, event="cluster.tokens_failed")


def _tokens(documents: Iterable[ClusterDocument]) -> Iterable[AgentToken]:
    for each in documents:
        try:
            yield from agent_tokens.read(each.body, f"the document {each.name} of the cluster")
        except ConfigError as why:
            SharedTokens.log.error("{why}", event="cluster.token_broken", why=str(why))
