"""Subscribers, and the notifications that they want."""

from __future__ import annotations

from functools import reduce
from operator import or_

from hypothesis import given
from hypothesis import strategies as st

from mcpgateway.hub.subscriptions.interest import LISTS, NOTHING, TASK, UPDATED, Interest
from mcpgateway.hub.subscriptions.registry import SubscriberRegistry

uris = st.sampled_from(["a:", "a:/x", "a:/x/y", "b:"])
tasks = st.sampled_from(["a:", "t"])
interests = st.builds(
    Interest, st.frozensets(st.sampled_from(sorted(LISTS))), st.frozensets(uris), st.frozensets(tasks)
)
# Subscribers that come and change their minds, and others that go.
deeds = st.lists(st.tuples(st.integers(0, 4), st.none() | interests))


def registry_of(
    done: list[tuple[int, Interest | None]],
) -> tuple[SubscriberRegistry[int], dict[int, Interest]]:
    """A registry after all this, and what each subscriber wants at last."""
    registry: SubscriberRegistry[int] = SubscriberRegistry()
    wanted: dict[int, Interest] = {}
    for subscriber, interest in done:
        if interest is None:
            assert registry.remove(subscriber) is (wanted.pop(subscriber, None) is not None)
        else:
            registry.put(subscriber, interest)
            wanted[subscriber] = interest
    return registry, wanted


class RegistryTests:
    """Subscribers that come, change their minds and go."""

    @given(deeds)
    def test_union(self, done: list[tuple[int, Interest | None]]) -> None:
        """The union is that of the latest interests, and nothing is left of those who have gone."""
        registry, wanted = registry_of(done)
        assert registry.union() == reduce(or_, wanted.values(), NOTHING)
        assert registry.interests == wanted
        assert list(registry.interests) == list(wanted)
        assert len(registry) == len(wanted)
        assert all(subscriber in registry for subscriber in wanted)

    @given(deeds)
    def test_lists(self, done: list[tuple[int, Interest | None]]) -> None:
        """A changed list is for those who want to hear of just that one."""
        registry, wanted = registry_of(done)
        for kind, method in LISTS.items():
            hearers = {each for each, interest in wanted.items() if kind in interest.lists}
            assert sorted(registry.interested(method, None)) == sorted(hearers)

    @given(deeds, tasks | st.none())
    def test_tasks(self, done: list[tuple[int, Interest | None]], task: str | None) -> None:
        """The status of a task is for those who have named it; one that names none is for nobody."""
        registry, wanted = registry_of(done)
        hearers = [each for each, interest in wanted.items() if task in interest.tasks]
        assert sorted(registry.interested(TASK, task)) == sorted(hearers)

    @given(deeds)
    def test_resources(self, done: list[tuple[int, Interest | None]]) -> None:
        """A change of a resource is for those who want it or what contains it, once for each."""
        registry, wanted = registry_of(done)
        around = {"a:/x/y": {"a:", "a:/x", "a:/x/y"}, "a:/x": {"a:", "a:/x"}, "b:": {"b:"}, "c:": set()}
        for uri, wholes in around.items():
            hearers = [each for each, interest in wanted.items() if interest.uris & wholes]
            assert sorted(registry.interested(UPDATED, uri)) == sorted(hearers)
        assert registry.interested(UPDATED, None) == []
