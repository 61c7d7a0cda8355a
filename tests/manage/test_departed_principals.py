"""Principals whose credentials have ended, and the grants that are revoked for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from mcpgateway.manage.credentials import CredentialStore
from mcpgateway.manage.departed_principals import DepartedPrincipals
from mcpgateway.policy.agent_tokens import AgentToken, digest_of
from mcpgateway.policy.oauth.resource import principal_of

HERE, THERE = "https://login.example", "https://other.example"
ANN, BOB = principal_of(HERE, "ann"), principal_of(THERE, "bob")
PLACE = "192.0.2.7"


def agent(name: str, expires: float = 0.0) -> AgentToken:
    """The token of an agent."""
    return AgentToken(name, name, digest_of(name.encode()).hex(), 1.0, expires)


class Left:
    """Notes who is given back."""

    def __init__(self) -> None:
        self.owners: list[list[str]] = []

    def leave(self, is_over: Callable[[str], bool]) -> None:
        """Note the owners that have departed."""
        self.owners.append([each for each in ALL if is_over(each)])


ALL = ["", "local", "agent good", "agent late", "agent gone", "key gone", ANN, BOB, f"address {PLACE}"]


def leaving(left: Left, *owners: str, **more: Any) -> DepartedPrincipals:
    """A gateway of two agents at ten o'clock, with grants of these owners."""
    bearers = CredentialStore.of("b", "a", seconds=lambda: 10.0)
    bearers.admit_agents([agent("good"), agent("late", 9.0)])
    bearers.admit_keys(["k"], {})
    kept = [{"owner": each} for each in owners]
    return DepartedPrincipals(bearers, lambda address: address != PLACE, lambda: kept, lambda: left, **more)


@pytest.mark.parametrize(
    ("owner", "issuer", "is_over"),
    [
        ("", "", False),
        ("local", "", False),
        ("agent good", "", False),
        ("agent late", "", True),
        ("agent gone", "", True),
        ("key gone", "", True),
        ("project gone", "", True),
        (ANN, HERE, False),
        (ANN, THERE, True),
        (ANN, "", True),
        (f"address {PLACE}", "", True),
        ("address 192.0.2.8", "", False),
        ("something else", "", False),
    ],
)
def test_who_comes_no_more(owner: str, issuer: str, *, is_over: bool) -> None:
    """A principal has departed once its token, key, authorization server or address is not valid any more."""
    assert leaving(Left(), issuer=issuer).is_over(owner) is is_over


def test_what_is_given_back() -> None:
    """The grants of all departed principals are revoked; at the start of a gateway only those of agents."""
    left = Left()
    found = leaving(left, *ALL, issuer=HERE)
    found.begin()
    found.look()
    assert left.owners == [
        ["agent late", "agent gone"],
        ["agent late", "agent gone", "key gone", BOB, ALL[-1]],
    ]


def test_nothing_to_give_back() -> None:
    """The grants stay where no principal has departed."""
    left = Left()
    leaving(left, "", "agent good", ANN, issuer=HERE).look()
    leaving(left, "key gone").begin()
    assert left.owners == []


def test_a_key_that_is_there() -> None:
    """A key of the settings is known by its principal."""
    found = leaving(Left())
    (holder,) = {found._bearers.judge(None, b"k")}
    assert not found.is_over(holder.name)
