"""The name of a browser, of its ``User-Agent`` header, for people who look at the list of sign-ins."""

from __future__ import annotations

import re

LONGEST = 60
_PRODUCTS = (
    ("Edge", r"Edg(?:A|iOS)?/(\d{1,6})"),
    ("Opera", r"OPR/(\d{1,6})"),
    ("Firefox", r"(?:Firefox|FxiOS)/(\d{1,6})"),
    ("Chrome", r"(?:HeadlessChrome|Chrome|CriOS)/(\d{1,6})"),
    ("Safari", r"Version/(\d{1,6})[\d.]* (?:Mobile/\w+ )?Safari/"),
)
"""Each names itself beside the engines that it resembles, so the rarer ones come first."""
_SYSTEMS = (
    ("Android", "Android"),
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Windows", "Windows NT"),
    ("macOS", "Mac OS X"),
    ("Linux", "Linux"),
)


def browser_name(agent: str) -> str:
    """Return the product, its major version and its system, such as ``Firefox 140 on Linux``.

    A program that is no browser has the name and the version of its first product (RFC 9110 section 10.1.5).

    :param agent: the header; empty where the request has none.
    """
    for name, pattern in _PRODUCTS:
        found = re.search(pattern, agent)
        if found is not None:
            system = next((title for title, mark in _SYSTEMS if mark in agent), "")
            return f"{name} {found[1]}" + (f" on {system}" if system else "")
    product = re.match(r"[\w.+-]+(?:/[\w.+-]+)?", agent, re.ASCII)
    return product[0].replace("/", " ")[:LONGEST] if product is not None else ""
