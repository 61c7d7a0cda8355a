"""Agents with tokens of their own, at a gateway in memory."""

from __future__ import annotations

import hashlib
from typing import Any

from mcpgateway.policy.agent_tokens import AgentToken
from tests.support.gateway_in_memory import MemoryGateway


def agent(gateway: MemoryGateway, name: str, **limits: Any) -> dict[str, str]:
    """Return the headers of an agent, after making its token."""
    secret = f"mcpg_{name:_<32}"
    digest = hashlib.sha256(secret.encode()).hexdigest()
    gateway.bearers.admit_agents(
        [*gateway.bearers.agents, AgentToken(name, name, digest, 0.0, 0.0, **limits)]
    )
    return {"Authorization": f"Bearer {secret}"}
