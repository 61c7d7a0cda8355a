"""Many sessions at once, each message judged by a model of who may see it."""

import asyncio
import os
import secrets
from random import Random

import pytest

from tests.support.gateway import IS_SOAK
from tests.support.storm import INGREDIENTS, LOSSES, SteadyGateway, Storm

pytestmark = pytest.mark.functional

SECONDS = 300 if IS_SOAK else 4  # and on until everything has happened
PLACES = 50 if IS_SOAK else 20
PART = 1 if IS_SOAK else 5  # of how often each of it has to happen


@pytest.fixture
def seed():
    """What the dice of a storm begin with; say ``MCPGATEWAY_STORM_SEED`` to have one again."""
    chosen = os.environ.get("MCPGATEWAY_STORM_SEED") or secrets.token_hex(4)
    print(f"MCPGATEWAY_STORM_SEED={chosen}")
    return chosen


def blown(directory, seed, *, restarts):
    """A storm that has blown against a gateway."""
    with SteadyGateway(directory, Random(seed)) as gateway:
        wanted = {
            kind: -(-least // PART) for kind, least in {**INGREDIENTS, **(LOSSES if restarts else {})}.items()
        }
        storm = Storm(gateway, seed, PLACES, SECONDS, wanted)
        world = asyncio.run(storm.blow(restarts=restarts))
        print(dict(world.counts), *world.wrong, sep="\n")
        assert "Traceback" not in gateway.log, gateway.log
    return storm


class StormTests:
    """Storms."""

    def test_storm(self, tmp_path, seed):
        """Everybody hears what is theirs, all of it, once, and nothing else."""
        storm = blown(tmp_path, seed, restarts=False)
        assert storm.world.wrong == []
        assert storm.missing == []

    def test_storm_with_restarts(self, tmp_path, seed):
        """The same while the gateway is killed again and again: only what was under way is lost."""
        storm = blown(tmp_path, seed, restarts=True)
        assert storm.world.wrong == []
        assert storm.missing == []
