"""The global options."""

from __future__ import annotations

from typing import NamedTuple


class Globals(NamedTuple):
    """The global options.

    :ivar home: the gateway's own directory, absolute.
    :ivar named_home: the same where it was named on the command line or in the environment; empty where not.
    :ivar url: where the gateway is; empty for the Unix socket in the home.
    :ivar token_file: the file that holds the token; empty for the one in the home.
    :ivar as_json: whether results are for programs.
    """

    home: str
    named_home: str = ""
    url: str = ""
    token_file: str = ""
    as_json: bool = False
