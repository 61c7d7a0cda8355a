"""Effects of a tool's call beside its answer."""

from __future__ import annotations

import gc
import weakref

import pytest
from msgspec import Raw

from mcpgateway.discovery.records import Item, ListKind
from mcpgateway.hub.meters import Meters
from mcpgateway.views.results import Outcomes


def item(*, is_idempotent: bool) -> Item:
    """A tool that changes nothing."""
    said = b'{"readOnlyHint":true,"idempotentHint":%s}' % str(is_idempotent).lower().encode()
    return Item("a", ListKind.TOOL, "echo", {"annotations": Raw(said)})


class FlyingTests:
    """Tools whose calls may fly together."""

    @pytest.fixture
    def outcomes(self) -> Outcomes:
        """With nothing else to do."""
        return Outcomes(None, None, None, Meters(lambda: 0.0).of("a"), lambda: 0.0)

    def test_the_list_in_force(self, outcomes: Outcomes) -> None:
        """The list that was asked for last counts, whatever another said of that tool before."""
        former, latter = item(is_idempotent=True), item(is_idempotent=False)
        assert [outcomes.may_fly(each) for each in (former, former, latter, former)] == [
            True,
            True,
            False,
            True,
        ]

    def test_former_lists(self, outcomes: Outcomes) -> None:
        """A list that nobody shows any more is not kept."""
        former = item(is_idempotent=True)
        outcomes.may_fly(former)
        gone = weakref.ref(former)
        del former
        outcomes.may_fly(item(is_idempotent=True))
        gc.collect()
        assert gone() is None
