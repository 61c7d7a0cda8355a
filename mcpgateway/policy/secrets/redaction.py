"""Programs' output without secrets, for logs, events, records and results.

Two kinds of secrets are removed: every value that is known to be secret, in any place and spelling, and every text of
the form of a credential (`mcpgateway.policy.secrets.shapes`).  All of them are marked in the original first and removed
together, so that no part is left of two secrets that overlap.

# Note [How known values are found]
There may be thousands of spellings, and every line is searched for all of them.  None is shorter than `SHORTEST`, so in
any text one of the first `STEP` groups of `GROUP` characters of a spelling stands at a multiple of `STEP`.  Spellings
are indexed by these groups, in lower case, and only those places of a text are looked up.  So the time depends on the
text alone, and spellings that differ in case only are one.
"""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from string import ascii_lowercase, ascii_uppercase
from urllib.parse import quote, quote_plus

import msgspec

from mcpgateway.policy.secrets.shapes import MASK, NAME, cut, generic, shaped
from mcpgateway.records import FrozenRecord, Record

SHORTEST, LONGEST = 6, 4096  # characters of a known secret; a shorter one stands in any text
GROUP = 3  # characters; see Note [How known values are found]
STEP = SHORTEST - GROUP + 1
FEWEST_DIGITS = 9  # a number with fewer is a port, a size or a time
KNOWN_LIMIT, KNOWN_KEPT = 20_000, 16_000  # spellings of known secrets; of more, the latest are kept
# Words of configurations that texts need, and masks of other programs.
COMMON = frozenset(
    "accept access always and any authorization bearer boolean but cannot changeme client config console could "
    "custom default delete denied develop development disable disabled empty enable enabled error example exists "
    "expired export expose failed false field file flag for format found from global has header here in inherit "
    "install integer invalid is it limited localhost logging memory message method missing module must name new "
    "no nobody none normal not notice null number object of ok on option optional or output password permit "
    "prefix private process prod production project public python read-only readonly redacted refused rejected "
    "remote report request required result secret server service session set shared should signal single source "
    "staging standard status stderr stdout stream string system target testing that the this thread timeout to "
    "token true type undefined unknown unset update user using valid value variable verbose version via warning "
    "was when will with without workspace wrong your".split()
)
_COMMON_WORD = re.compile(r"[*./:~•-]*(?:v?[0-9][0-9.:,_-]{0,30})?")  # a version, an address, a few dots

# Characters that programs do not escape in a URL: none, a slash (Python), those of JavaScript's three functions.
_UNTOUCHED = ("", "/", "!'()*", "*", "!'()*;/?:@&=+$,#")
_SAFE = re.compile(r"[A-Za-z0-9_.~-]+")  # no program escapes these
_FOR_HTML = str.maketrans({"<": r"\u003c", ">": r"\u003e", "&": r"\u0026"})  # as Go escapes them in JSON
_SMALL = str.maketrans(ascii_uppercase, ascii_lowercase)
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]")

_QUOTES = r"[\\\"']{0,4}"
_MARK = rf"{_QUOTES}[ \t]{{0,8}}(?:=>|[:=])[ \t]{{0,8}}"
_AROUND = ".,;:!?()[]{}<>`*"
# Placeholders in documentation: TOKEN, <token>, ${TOKEN}, …
_PLACEHOLDER = re.compile(r"[A-Z_]{1,32}|<[^<>]{0,64}>|\$?\{[^{}]{0,64}\}?|\$\w{1,64}|…")
_WORD = re.compile(r"[A-Za-z]?[a-z]{1,15}(?:['-][a-z]{1,12})?")
# The next word of a sentence, which is not the name of the next value.
_NEXT_WORD = re.compile(r"[.,;:!?)]?[ \t]{1,4}[A-Za-z(]\w{0,24}(?!\w|[ \t]{0,4}[:=])")
_SCHEME = re.compile(r"(?:bearer|basic|digest|negotiate|ntlm|token|apikey|aws4-\S{1,32})[ \t]", re.IGNORECASE)


class _Form(FrozenRecord, frozen=True):
    """A way in which texts name a credential and give its value.

    :ivar hints: texts in lower case; the pattern matches only where one of them occurs.
    :ivar pattern: its last matching group is removed; the whole match where it has none.
    :ivar spares: returns true for a match whose value is no credential.
    """

    hints: tuple[str, ...]
    pattern: re.Pattern[str]
    spares: Callable[[re.Match[str]], bool]

    def spans(self, text: str) -> Iterator[tuple[int, int]]:
        """Iterate over the places of credentials in a text."""
        for found in self.pattern.finditer(text):
            if not self.spares(found):
                yield found.span(found.lastindex or 0)


def _nothing(_: re.Match[str]) -> bool:
    return False


def _an_ordinary_word(found: re.Match[str]) -> bool:
    """True if the value is a placeholder, or names a kind of value."""
    value = found[found.lastindex or 0]
    bare = value.strip(_AROUND)
    return not bare or bare.lower() in COMMON or any(map(_PLACEHOLDER.fullmatch, (bare, value)))


def _prose(found: re.Match[str]) -> bool:
    """True if the value is an ordinary word, or a word followed by more words."""
    if _an_ordinary_word(found):
        return True
    value = found[found.lastindex or 0]
    is_apart = found.string[found.start(found.lastindex or 0) - 1].isspace()
    if not is_apart or not _WORD.fullmatch(value.rstrip(".,;:!?)")):
        return False
    return (
        _NEXT_WORD.match(found.string, found.start(found.lastindex or 0) + len(value.rstrip(".,;:!?)")))
        is not None
    )


def _prose_about_headers(found: re.Match[str]) -> bool:
    """True if the text is a sentence, not the value of a header."""
    value = found[found.lastindex or 0]
    if _SCHEME.match(value):
        return _placeholders(value)
    words = value.split(None, 1)
    return len(words) > 1 and _WORD.fullmatch(words[0].rstrip(_AROUND)) is not None


def _placeholders(header: str) -> bool:
    value = header.split(None, 1)[1].rstrip(".,;:!?)") if " " in header.strip() else ""
    return bool(value) and _PLACEHOLDER.fullmatch(value) is not None


def _a_word(found: re.Match[str]) -> bool:
    """True if the value is a word of letters, such as *authentication*."""
    value = found[1].rstrip(".=")
    return _an_ordinary_word(found) or (
        value.isalpha() and value in (value.lower(), value.upper(), value.capitalize())
    )


_NAMES = ("key", "token", "secret", "passw", "passp", "credential", "sig", "session")
_FORMS = (
    # A header, with its scheme and credentials, up to the end of the line or of the quotes around it.
    _Form(
        ("authorization",),
        re.compile(rf"authorization{_MARK}{_QUOTES}(digest[ \t][^\r\n]++|[^\"'\\\r\n]++)", re.IGNORECASE),
        _prose_about_headers,
    ),
    _Form(
        ("cookie",),
        re.compile(rf"cookie{_MARK}{_QUOTES}([\w.!#$%&'*+^`|~-]{{1,128}}+=[^\"'\\\r\n]*+)", re.IGNORECASE),
        _nothing,
    ),
    _Form(
        ("bearer", "basic"),
        re.compile(r"\b(?:bearer|basic)[ \t]{1,8}([A-Za-z0-9._~+/=-]{6,}+)", re.IGNORECASE),
        _a_word,
    ),
    # In quotes a value may have blanks.
    _Form(
        _NAMES,
        re.compile(
            rf"{NAME}{_MARK}(?:\\{{1,3}}[\"']([^\"'\\\r\n]++)"
            r"|\"((?:[^\"\\\r\n]|\\.)++)|'((?:[^'\\\r\n]|\\.)++))",
            re.IGNORECASE,
        ),
        _an_ordinary_word,
    ),
    _Form(_NAMES, re.compile(rf"{NAME}{_MARK}([^\s\"'&\\]++)", re.IGNORECASE), _prose),
    _Form(("pwd",), re.compile(rf"pwd{_MARK}{_QUOTES}(?!/)([^\s\"';&]++)", re.IGNORECASE), _an_ordinary_word),
    _Form(
        ("-passw", "-token", "-api", "-secret"),
        re.compile(r"-(?:passw(?:or)?d|token|api-?key|secret)[ \t]{1,8}([^\s\"'-][^\s\"']*+)", re.IGNORECASE),
        _an_ordinary_word,
    ),
    # The password in a URL.
    _Form(("://",), re.compile(r"://[^/\s:@]{0,256}+:([^/\s@]{1,1024}+)@"), _an_ordinary_word),
)


class Redactor(Record):
    """The removal of secrets from texts.

    :ivar _known: the spellings of known secrets, the oldest first; true for base64.
    :ivar _filed: the same by their first characters, see Note [How known values are found].
    """

    _known: dict[str, bool] = msgspec.field(default_factory=dict)
    _filed: dict[str, list[str]] = msgspec.field(default_factory=dict)

    def learn(self, values: Iterable[str]) -> None:
        """Remove these values from now on, too; values that stand in any text are left alone."""
        for value in values:
            for each, is_base64 in _spellings(value):
                if self._known.pop(each, None) is None:
                    self._file(each)
                self._known[each] = is_base64  # a value that is learnt again is the newest
        if len(self._known) > KNOWN_LIMIT:
            self._known = dict(islice(self._known.items(), len(self._known) - KNOWN_KEPT, None))
            self._filed = {}
            for each in self._known:
                self._file(each)

    def _file(self, spelling: str) -> None:
        for group in {spelling[at : at + GROUP] for at in range(STEP)}:
            self._filed.setdefault(group, []).append(spelling)

    def redact(self, text: str, shown: int | None = None) -> str:
        """Return a text without secrets.

        :param shown: the number of characters to show of a text that is to be cut; the others are searched too, since
            half a
            secret is not found.
        """
        if len(text) < SHORTEST:
            return text if shown is None else text[:shown]
        spans = sorted((*self._spans_of_known(text), *shaped(text), *generic(text), *_named(text)))
        if not spans:
            return text if shown is None else text[:shown]
        return cut(text, spans, shown)

    def mask(self, text: str) -> tuple[str, int]:
        """Return a text without known values and tokens, and the number of them; texts that only look random stay.

        The method is for texts that programs and models work with, such as results.
        """
        spans = sorted((*self._spans_of_known(text), *shaped(text)))
        return (cut(text, spans), len(spans)) if spans else (text, 0)

    def _spans_of_known(self, text: str) -> Iterator[tuple[int, int]]:
        filed = self._filed
        if not filed:
            return
        small = text.lower() if text.isascii() else text.translate(_SMALL)
        for at in range(0, len(small) - GROUP + 1, STEP):
            for each in filed.get(small[at : at + GROUP], ()):
                start = small.find(each, max(0, at - STEP + 1), at + len(each))
                while start >= 0:
                    stop = start + len(each)
                    yield _with_edges(text, start, stop) if self._known.get(each) else (start, stop)
                    start = small.find(each, start + 1, at + len(each))


def quoted(text: str, hidden: Iterable[str]) -> str:
    """Return a program's output without the secrets it was given, however short, and without texts like secrets."""
    redactor = Redactor()
    redactor.learn(hidden)
    made = redactor.redact(text)
    for each in hidden:
        if not is_telling(each):
            made = made.replace(each, MASK)
    return made


def _with_edges(text: str, start: int, stop: int) -> tuple[int, int]:
    """Return the place of a value in base64, with the characters that it shares with its neighbours."""
    if start and _BASE64.match(text, start - 1):
        start -= 1
    if _BASE64.match(text, stop):
        stop += 1
    while stop < len(text) and text[stop] == "=":
        stop += 1
    return start, stop


def _named(text: str) -> Iterator[tuple[int, int]]:
    small = text.lower()
    for form in _FORMS:
        if any(hint in small for hint in form.hints):
            yield from form.spans(text)


def is_telling(value: str) -> bool:
    """True if a value can be removed from texts: it is long enough, and no common word or number."""
    if not SHORTEST <= len(value) <= LONGEST or value in MASK or value.isspace():
        return False
    if value.isdecimal():
        return len(value) >= FEWEST_DIGITS
    return value.lower() not in COMMON and _COMMON_WORD.fullmatch(value) is None


def _spellings(value: str) -> Iterator[tuple[str, bool]]:
    """Iterate over a secret's spellings, in lower case: as it is, by line, as JSON, in a URL and in base64."""
    for line in {value.strip(), *map(str.strip, value.splitlines())}:
        whole = line[:LONGEST]
        if is_telling(whole):
            plain = (
                ()
                if _SAFE.fullmatch(whole)
                else (repr(whole)[1:-1], *_in_json(whole), *_in_url(whole), *_in_html(whole))
            )
            yield from ((each, False) for each in {each.translate(_SMALL) for each in (whole, *plain)})
            yield from ((each.translate(_SMALL), True) for each in _in_base64(whole))


def _in_json(text: str) -> Iterator[str]:
    for way in (True, False):
        quoted = json.dumps(text, ensure_ascii=way)[1:-1]
        yield from (quoted, quoted.translate(_FOR_HTML), quoted.replace("/", r"\/"))  # the last as PHP does


def _in_url(text: str) -> Iterator[str]:
    for way in (quote, quote_plus):
        for untouched in _UNTOUCHED:
            yield way(text, safe=untouched, errors="surrogatepass")
    yield quote(quote(text, safe="", errors="surrogatepass"), safe="")  # as a URL in another one has it


def _in_html(text: str) -> Iterator[str]:
    # Only attributes have their quotes escaped, by one of two numbers.
    inner = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    yield inner
    for apostrophe in ("&#39;", "&#x27;"):
        yield inner.replace('"', "&quot;").replace("'", apostrophe)


def _in_base64(text: str) -> Iterator[str]:
    """Iterate over the parts of a text's base64 that do not depend on its position, in both alphabets."""
    try:
        data = text.encode("utf-8", "surrogateescape")  # a variable may be no UTF-8
    except UnicodeEncodeError:
        return
    for before in range(3):
        encoded = b64encode(bytes(before) + data).decode().rstrip("=")
        first = -(-before * 8 // 6)
        own = encoded[first : (before + len(data)) * 8 // 6]
        yield own
        if "+" in own or "/" in own:
            yield own.replace("+", "-").replace("/", "_")
