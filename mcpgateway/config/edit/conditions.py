"""Conditions of edits: ``If-Match`` and ``If-None-Match`` (RFC 9110 section 13.1)."""

from __future__ import annotations

import re

from attrs import frozen

from mcpgateway.errors import InvalidParams, NeedsCondition, Outdated

TAG = re.compile(r'(?P<weak>W/)?(?P<tag>"[\x21\x23-\x7e\x80-\xff]*")')
LIST_CHARACTERS = 4096  # of a header with a list of tags; one tag has about 30
ANY = "*"


@frozen
class EditCondition:
    """The condition of an edit.

    :ivar matches: the tags one of which the entry has to have; ``*``: the entry has to exist; None: no condition.
    :ivar is_new: the entry must not exist.
    """

    matches: frozenset[str] | None = None
    is_new: bool = False

    def check(self, tag: str | None, *, replaces: bool = False) -> None:
        """Check that the condition holds.

        :param tag: the tag of the entry; None where it does not exist.
        :param replaces: the edit replaces a whole entry, which needs a condition.
        :raise Outdated: the condition does not hold.
        :raise NeedsCondition: there is no condition, and the edit needs one.
        """
        if self.is_new and tag is not None:
            raise Outdated("it is there already", "without If-None-Match, what is there is replaced")
        if self.matches is None:
            if replaces and tag is not None:
                raise NeedsCondition(
                    "this would replace what is there",
                    "send If-Match with the ETag of what you have seen, or If-Match: * whatever it is",
                )
            return
        if tag is None or (ANY not in self.matches and tag not in self.matches):
            raise Outdated(
                "it has been changed since" if tag is not None else "it is not there",
                "look at it once more, and send its ETag as it is now",
            )


def read_condition(if_match: str | None, if_none_match: str | None) -> EditCondition:
    """Return the condition in the headers of a request.

    :raise InvalidParams: the headers are malformed.
    """
    if if_none_match is not None and if_none_match.strip() != ANY:
        raise InvalidParams("If-None-Match: only * is understood here")
    return EditCondition(None if if_match is None else _tags(if_match), if_none_match is not None)


def _tags(text: str) -> frozenset[str]:
    if text.strip() == ANY:
        return frozenset((ANY,))
    tags: set[str] = set()
    for each in text[:LIST_CHARACTERS].split(","):
        found = TAG.fullmatch(each.strip())
        if found is None or len(text) > LIST_CHARACTERS:
            raise InvalidParams("If-Match: expected * or tags in quotes", 'such as If-Match: "5f2a…"')
        if not found["weak"]:
            tags.add(found["tag"])  # weak ones never match (RFC 9110 section 13.1.1)
    return frozenset(tags)
