"""The global options."""

from __future__ import annotations

from typing import NamedTuple


class Globals(NamedTuple):
    """The global options.

    :ivar home: the gateway's own directory, absolute.
    :ivar named_home: the home if the command line or the environment names it; else empty.
    :ivar url: the gateway's URL; empty for the Unix socket in the home.
    :ivar token_file: the file of the token; empty for the one in the home.
    :ivar as_json: True for results as JSON.
    :ivar is_paged: False if a pager is never used.
    :ivar has_older_lists: True if lists are printed as the older command that was called prints them.
    """

    home: str
    named_home: str = ""
    url: str = ""
    token_file: str = ""
    as_json: bool = False
    is_paged: bool = True
    has_older_lists: bool = False
