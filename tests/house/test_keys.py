"""The keys of the configuration."""

from mcpgateway.config.section import Counts
from tests.hub.test_edited_keys import AT_START, PROOFS, REPLACING, counting, replacing


class CountingTests:
    """When an edit of a key counts."""

    def test_every_key_has_an_answer(self):
        """Tests show of each key that counts at once that it does, and of the others what is done instead.

        A new key needs a proof in ``tests/hub/test_edited_keys.py``, or another
        ``counts`` where it is declared, and a line in the tables at the end of that test.
        """
        assert set(counting(Counts.AT_ONCE)) - set(PROOFS) == set()
        assert set(replacing()) - set(REPLACING) == set()
        assert set(counting(Counts.AT_START)) - set(AT_START) == set()
