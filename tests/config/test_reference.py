"""The reference of all keys."""

from pathlib import Path

from mcpgateway.config.reference import SECTIONS, reference

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "configuration-keys.inc"
AGAIN = f"write it again: python -c 'from mcpgateway.config.reference import *; print(reference(), end=\"\")' > {PAGE}"


class ReferenceTests:
    def test_up_to_date(self):
        """The page that is published says what the tables say."""
        assert PAGE.read_text() == reference(), AGAIN

    def test_every_section(self):
        """Every section that a key leads to has a table of its own."""
        listed = {id(section) for _, section in SECTIONS.values()}
        for _, section in SECTIONS.values():
            for key in section.keys.values():
                kinds = getattr(key.kind, "kinds", {}).values()
                inner = [
                    each for each in (key.kind, *kinds) if hasattr(each, "keys") and each.title in SECTIONS
                ]
                assert all(id(each) in listed for each in inner)
