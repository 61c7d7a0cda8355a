"""Changes of an entry that go to the classification file, where its own file cannot take them."""

import pytest

from mcpgateway.config.classification import classifying
from mcpgateway.errors import InvalidParams


class ClassifyingTests:
    def test_keys(self):
        """A classification sets the scope of a server, and the number of its calls at once."""
        assert classifying({("share",): "global"}, ()) == {"mode": "global"}
        assert classifying({("concurrency",): "none"}, [("scope",)]) == {"concurrency": "none", "mode": None}

    def test_others(self):
        """A change of any other key has no place in the file, and no half of it is made."""
        assert classifying({}, ()) is None
        assert classifying({("share",): "global", ("env", "A"): "1"}, ()) is None
        assert classifying({("share",): "global"}, [("cwd",)]) is None

    @pytest.mark.parametrize(
        ("key", "value"), [("share", "nonsense"), ("share", 3), ("concurrency", 0), ("concurrency", "many")]
    )
    def test_refused(self, key, value):
        """A value that the key cannot have is refused, with those that it can."""
        with pytest.raises(InvalidParams, match=key) as caught:
            classifying({(key,): value}, ())
        assert "allowed: " in caught.value.hint
