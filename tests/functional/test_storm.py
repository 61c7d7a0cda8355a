"""Many sessions at once, each message judged by a model of who may see it."""

import pytest

from tests.support.gateway import IS_SOAK
from tests.support.harness.storm import seed
from tests.support.storm import INGREDIENTS, LOSSES, SessionStorm

pytestmark = pytest.mark.functional

SECONDS = 300 if IS_SOAK else 4  # and on until everything has happened
PLACES = 50 if IS_SOAK else 20
PART = 1 if IS_SOAK else 5  # of how often each of it has to happen


def blown(directory, wanted, *, restarts):
    """A storm that has blown against a gateway."""
    least = {kind: -(-often // PART) for kind, often in wanted.items()}
    return SessionStorm(directory, seed(), SECONDS, least, PLACES, restarts).blow()


class StormTests:
    """Storms."""

    def test_storm(self, tmp_path):
        """Everybody hears what is theirs, all of it, once, and nothing else."""
        assert blown(tmp_path, INGREDIENTS, restarts=False).faults == []

    def test_storm_with_restarts(self, tmp_path):
        """The same while the gateway is killed again and again: only what was under way is lost."""
        assert blown(tmp_path, INGREDIENTS | LOSSES, restarts=True).faults == []
