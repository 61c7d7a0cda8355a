"""Texts without secrets, for whatever is kept or shown of what programs say: logs, events, records.

Two things are taken out: every value that is known to be secret, wherever it stands and however JSON or a URL would
write it, and whatever looks like a credential.  All that is found is marked in the original first and taken out
together, so that nothing is left of two secrets that overlap.

# Note [Linear time]
Nobody may keep the gateway busy with a text made for it.  No pattern here has two repetitions that could share the same
characters: what is repeated is either bounded or possessive, and patterns begin with something fixed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from urllib.parse import quote, quote_plus

from attrs import define, field, frozen

MASK = "***REDACTED***"
SHORTEST, LONGEST = 6, 4096  # characters of a known secret; a shorter one stands in any text
FEWEST_DIGITS = 9  # a number with fewer is a port, a size or a time
KNOWN_LIMIT = 20_000  # spellings of known secrets; the oldest are forgotten
# What people write into configurations that no text could do without.
COMMON = frozenset(
    "accept access always bearer changeme client config console custom default delete develop development disable"
    " disabled enable enabled example expose format global header inherit install localhost logging memory message"
    " method missing module nobody normal notice object option output password permit prefix private process prod"
    " production project public python readonly read-only remote report request required result secret server service"
    " session shared signal single source staging standard status stderr stdout stream string string system target"
    " testing thread timeout token update verbose version warning workspace authorization redacted undefined".split()
)
_COMMON_WORD = re.compile(r"[*./:~•-]*(?:v?[0-9][0-9.:,_-]{0,30})?")  # a version, an address, a few dots

# What programs do not escape in a URL: nothing, a slash (Python), what JavaScript's three ways of it leave as it is.
_UNTOUCHED = ("", "/", "!'()*", "*", "!'()*;/?:@&=+$,#")
_ESCAPED = re.compile(r"%[0-9A-F]{2}")
_FOR_HTML = str.maketrans({"<": r"\u003c", ">": r"\u003e", "&": r"\u0026"})  # as Go escapes them in JSON

_QUOTES = r"[\\\"']{0,4}"
_MARK = rf"{_QUOTES}[ \t]{{0,8}}(?:=>|[:=])[ \t]{{0,8}}"
_NAME = (
    r"(?:api[-_ ]?key|access[-_]?key(?:[-_]?id)?|account[-_]?key|auth[-_]?key|secret[-_]?key|private[-_]?key"
    r"|signing[-_]?key|token|secret|passw(?:or)?d|passphrase|credentials?|sig|signature|session[-_]?id)"
)


@frozen
class _Form:
    """What a credential looks like.

    :ivar hints: where none of them is in a text, in small letters, the pattern cannot be either.
    :ivar pattern: one of its groups is what is taken out; all of it where it has none.
    """

    hints: tuple[str, ...]
    pattern: re.Pattern[str]

    def spans(self, text: str) -> Iterator[tuple[int, int]]:
        """Where there are some."""
        for found in self.pattern.finditer(text):
            yield found.span(found.lastindex or 0)


_NAMES = ("key", "token", "secret", "passw", "passp", "credential", "sig", "session")
_FORMS = (
    # A header, with whatever its scheme says, up to the end of the line or of the quotes around it.
    _Form(
        ("authorization",),
        re.compile(rf"authorization{_MARK}{_QUOTES}(digest[ \t][^\r\n]++|[^\"'\\\r\n]++)", re.IGNORECASE),
    ),
    _Form(("cookie",), re.compile(rf"cookie{_MARK}{_QUOTES}([^\"'\\\r\n]++)", re.IGNORECASE)),
    _Form(
        ("bearer", "basic"),
        re.compile(r"\b(?:bearer|basic)[ \t]{1,8}([A-Za-z0-9._~+/=-]{6,}+)", re.IGNORECASE),
    ),
    # In quotes a value may have blanks.
    _Form(
        _NAMES,
        re.compile(
            rf"{_NAME}{_MARK}(?:\\{{1,3}}[\"']([^\"'\\\r\n]++)"
            r"|\"((?:[^\"\\\r\n]|\\.)++)|'((?:[^'\\\r\n]|\\.)++))",
            re.IGNORECASE,
        ),
    ),
    _Form(_NAMES, re.compile(rf"{_NAME}{_MARK}([^\s\"'&\\]++)", re.IGNORECASE)),
    _Form(("pwd",), re.compile(rf"pwd{_MARK}{_QUOTES}(?!/)([^\s\"';&]++)", re.IGNORECASE)),
    _Form(
        ("-passw", "-token", "-api", "-secret"),
        re.compile(r"-(?:passw(?:or)?d|token|api-?key|secret)[ \t]{1,8}([^\s\"'-][^\s\"']*+)", re.IGNORECASE),
    ),
    # The password in an address.
    _Form(("://",), re.compile(r"://[^/\s:@]{0,256}+:([^/\s@]{1,1024}+)@")),
    _Form(
        ("akia", "asia", "gh", "glpat", "sk", "rk_", "pk_", "xox", "aiza", "ya29", "npm_", "hf_", "eyj"),
        re.compile(
            r"(?:AKIA|ASIA)[A-Z0-9]{16,64}+"  # AWS
            r"|gh[pousr]_[A-Za-z0-9]{16,255}+|github_pat_\w{16,255}+|glpat-[\w-]{16,255}+"
            r"|sk-[\w-]{16,255}+|[srp]k_(?:live|test)_[A-Za-z0-9]{10,255}+|xox[a-z]-[A-Za-z0-9-]{10,255}+"
            r"|AIza[\w-]{30,64}+|ya29\.[\w-]{20,1024}+|npm_[A-Za-z0-9]{30,64}+|hf_[A-Za-z0-9]{20,255}+"
            r"|eyJ[\w-]{4,}+\.[\w-]{4,}+(?:\.[\w-]*+)?+",  # JSON Web Token
            re.ASCII,
        ),
    ),
)
_RUN = re.compile(r"(?<![A-Za-z0-9_-])[A-Za-z0-9_-]{32,}+={0,2}")
# A long name is no key: words in small letters, as functions, tools and directories are called.
_WORDS = re.compile(r"_{0,2}(?:[a-z]{1,16}[0-9]{0,3}[-_]{1,2}){2,40}[a-z]{0,16}[0-9]{0,3}")
# A line of a key in a file.
_LINE = re.compile(r"(?m)^[ \t]{0,16}(?!/)([A-Za-z0-9+/]{40,}+={0,2})[ \t\r]{0,16}$")


@define(eq=False)
class Redactor:
    """Takes secrets out of texts."""

    _known: dict[str, None] = field(init=False, factory=dict, repr=False)

    def learn(self, values: Iterable[str]) -> None:
        """From now on take these values out, too; those that stand in any text are left alone."""
        for value in values:
            for each in _spellings(value):
                self._known.pop(each, None)  # what is learnt again is the newest
                self._known[each] = None
        while len(self._known) > KNOWN_LIMIT:
            del self._known[next(iter(self._known))]

    def redact(self, text: str, shown: int | None = None) -> str:
        """A text without secrets.

        :param shown: of a text that is to be cut, how many of its characters are shown; the others are looked at too,
            since half a secret is not found.
        """
        spans = sorted(self._spans(text))
        end = len(text) if shown is None else min(shown, len(text))
        if not spans:
            return text if end == len(text) else text[:end]
        parts: list[str] = []
        at = 0
        for start, stop in _merged(spans):
            if start >= end:
                break
            parts += (text[at:start], MASK)
            at = stop
        parts.append(text[at:end])
        return "".join(parts)

    def _spans(self, text: str) -> Iterator[tuple[int, int]]:
        for each in self._known:
            at = text.find(each)
            while at >= 0:
                yield at, at + len(each)
                at = text.find(each, at + 1)
        small = text.lower()
        for form in _FORMS:
            if any(hint in small for hint in form.hints):
                yield from form.spans(text)
        for found in _RUN.finditer(text):
            if not _WORDS.fullmatch(found[0]):
                yield found.span()
        for found in _LINE.finditer(text):
            yield found.span(1)


def _merged(spans: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Sorted spans, those that overlap as one."""
    begun, ended = 0, 0
    for start, stop in spans:
        if start < ended:
            ended = max(ended, stop)
            continue
        if ended:
            yield begun, ended
        begun, ended = start, stop
    if ended:
        yield begun, ended


def is_telling(value: str) -> bool:
    """Whether a value can be taken out of texts: it is long enough, and no common word or number."""
    if not SHORTEST <= len(value) <= LONGEST or value in MASK or value.isspace():
        return False
    if value.isdecimal():
        return len(value) >= FEWEST_DIGITS
    return value.lower() not in COMMON and _COMMON_WORD.fullmatch(value) is None


def _spellings(value: str) -> Iterator[str]:
    """A secret as programs write it: as it is, each of its lines, as JSON and in a URL."""
    for line in {value.strip(), *map(str.strip, value.splitlines())}:
        whole = line[:LONGEST]
        if is_telling(whole):
            yield from dict.fromkeys((whole, repr(whole)[1:-1], *_in_json(whole), *_in_url(whole)))


def _in_json(text: str) -> Iterator[str]:
    for way in (True, False):
        quoted = json.dumps(text, ensure_ascii=way)[1:-1]
        yield from (quoted, quoted.translate(_FOR_HTML), quoted.replace("/", r"\/"))  # the last as PHP does


def _in_url(text: str) -> Iterator[str]:
    for way in (quote, quote_plus):
        for untouched in _UNTOUCHED:
            encoded = way(text, safe=untouched, errors="surrogatepass")  # a variable may be no UTF-8
            yield from (encoded, _ESCAPED.sub(lambda found: found[0].lower(), encoded))


def one_line(text: str) -> str:
    """A text whose line breaks, terminal escapes and whatever else does not print are written out.

    What comes from elsewhere can then neither begin a line of its own in a log nor speak to the terminal of its reader.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
