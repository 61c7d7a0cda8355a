"""The forms and the names of secrets: the one table for views, logs, records and results.

A *shape* is a token that names its issuer, such as ``ghp_…``.  The *generic shape* is a long run of mixed characters
that is no word, date, identifier or path.

# Note [Linear time]
A text that is made to be slow must not keep the gateway busy.  No pattern here has two repetitions that could share the
same characters: each repetition is either bounded or possessive, and patterns begin with something fixed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from urllib.parse import unquote

MASK = "***REDACTED***"
"""The text in the place of a secret."""

_KEYS = "api|access|account|auth|encryption|master|private|secret|shared|signing"
# The value of a key with such a name is a secret, in every place.
SECRET = re.compile(
    r"secret|token|passw|passphrase|credential|authorization|cookie|bearer"
    rf"|(?:{_KEYS})[-_]?key"
    r"|(?:^|[-_])(?:auth|pass|pat)$|[-_]pwd$|(?-i:^pwd$)",  # a shell's PWD is a directory
    re.IGNORECASE,
)
NAME = (
    rf"(?:(?:{_KEYS})[-_ ]?key(?:[-_]?id)?|token|secret|passw(?:or)?d|passphrase|credentials?|sig|signature"
    r"|session[-_]?id)"
)
"""The same in the middle of a text, where it is followed by its value."""

NAMED_CHARS = 4  # shorter values are found in any text

SHAPES: Mapping[str, str] = {
    "AWS": r"A(?:KIA|SIA|BIA|CCA|ROA|IDA)[A-Z0-9]{16,64}+",
    "GitHub": r"gh[a-z]_[A-Za-z0-9]{8,255}+|github_pat_\w{8,255}+",
    "GitLab": r"gl(?:pat|dt|ptt|rt|cbt|ft|soat|oas|imt|agent|ffct)-[\w-]{8,255}+",
    # A key of SSH may be called sk-ssh-ed25519, and sk- begins the name of many a package.
    "OpenAI, Anthropic and alike": r"sk-(?:proj|ant|or|svcacct|admin|lf)-[\w-]{16,255}+"
    r"|sk-(?!ssh-|ecdsa-)(?=[A-Za-z_]{0,64}[0-9])[\w-]{8,255}+",
    "Stripe": r"[srp]k_(?:live|test)_[A-Za-z0-9]{8,255}+|whsec_[A-Za-z0-9+/]{16,255}+",
    "Slack": r"xox[a-z]-[A-Za-z0-9-]{8,255}+|xapp-[A-Za-z0-9-]{16,255}+"
    r"|(?<=hooks\.slack\.com/services/)[A-Za-z0-9/]{16,128}+",
    "Discord": r"(?<=/api/webhooks/)[0-9]{1,20}+/[\w-]{16,128}+",
    "Telegram": r"(?:bot)?[0-9]{8,10}:[\w-]{35,64}+",
    "Google": r"AIza[\w-]{30,64}+|ya29\.[\w-]{20,1024}+|GOCSPX-[\w-]{20,64}+|1//0[\w-]{24,255}+",
    "npm": r"npm_[A-Za-z0-9]{30,64}+",
    "PyPI": r"pypi-[\w-]{30,1024}+",
    "RubyGems": r"rubygems_[a-f0-9]{32,64}+",
    "Hugging Face": r"(?:hf|api_org)_[A-Za-z0-9]{20,255}+",
    "DigitalOcean": r"do[opr]_v1_[a-f0-9]{32,128}+",
    "Shopify": r"shp(?:at|ca|pa|ss)_[A-Fa-f0-9]{16,64}+",
    "Atlassian": r"AT(?:ATT|CTT|BB)3?[\w=-]{24,512}+",
    "SendGrid": r"SG\.[\w-]{16,64}\.[\w-]{16,64}+",
    "Docker": r"dckr_(?:pat|oat)_[\w-]{16,64}+",
    "Databricks": r"dapi[a-f0-9]{32}(?:-[0-9])?+",
    "Doppler": r"dp\.(?:pt|st|ct|sa|scim|audit)\.[A-Za-z0-9_.-]{16,128}+",
    "Vault": r"hv[sbr]\.[\w-]{16,512}+",
    "Grafana": r"gl(?:sa|c)_[\w+/=-]{16,512}+",
    "New Relic": r"NR(?:AK|JS|AA|II)-[A-Za-z0-9]{16,64}+",
    "Sentry": r"sntry[su]_[\w+/=-]{16,512}+",
    "Supabase": r"sb(?:p|_secret)_[\w-]{16,64}+",
    "Figma": r"figd_[\w-]{20,64}+",
    "Postman": r"PMAK-[a-f0-9]{24}-[a-f0-9]{34}",
    "Square": r"sq0(?:atp|csp)-[\w-]{20,64}+",
    "HubSpot": r"pat-[a-z]{2,3}[0-9]-[a-f0-9-]{32,40}+",
    "what agents use": r"(?:gsk|r8|ntn|nfp|lin_api|lin_oauth|pscale_tkn|pscale_pw|e2b|jina|fo1)_[A-Za-z0-9]{20,255}+"
    r"|(?:pplx|xai|fc|csk|ctx7sk|tvly(?:-(?:dev|prod))?)-[A-Za-z0-9]{20,255}+",
    "age": r"AGE-SECRET-KEY-1[A-Z0-9]{16,128}+",
    "mcpgateway": r"mcpg_[\w-]{16,255}+",
    "JSON Web Token": r"eyJ[\w-]{4,}+\.[\w-]{4,}+(?:\.[\w-]*+)?+",
}
"""Tokens with the prefix of their issuer; their length distinguishes them from words."""

TOKEN = re.compile(rf"(?<![A-Za-z0-9])(?:{'|'.join(SHAPES.values())})", re.ASCII)
PRIVATE_KEY = re.compile(
    r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY(?: BLOCK)?-----(?:[^-]++|-(?!----)){0,4096}+"
    r"(?:-----END [A-Z ]{0,40}PRIVATE KEY(?: BLOCK)?-----)?"
)
_KEY_MARK = "PRIVATE KEY"

_RUN = re.compile(r"(?<![A-Za-z0-9_-])[A-Za-z0-9_-]{32,}+={0,2}")
# A line of a key in a file.
_LINE = re.compile(r"(?m)^[ \t]{0,16}(?!/)([A-Za-z0-9+/]{40,}+={0,2})[ \t\r]{0,16}$")
_SEPARATORS = re.compile(r"[-_+/.=]+")
# The parts of names between their dashes: words, also in CamelCase, with a few digits, numbers, dates, the parts of a
# UUID, and any short text.
_PLAIN = re.compile(
    r"[A-Za-z0-9]{0,6}"
    r"|(?:[A-Z]{0,5}[a-z]{2,16}+|[A-Z][a-z]){1,16}[A-Z]{0,4}[0-9]{0,5}"
    r"|[A-Z]{1,24}[0-9]{0,5}"
    r"|[0-9]{1,20}[A-Za-z]{0,2}|[0-9]{1,8}T[0-9]{1,9}Z?"
    r"|[0-9a-f]{1,12}|[0-9A-F]{1,12}"
)
# The word before a digest, which is published to be compared.
_DIGEST = re.compile(
    r"(?:sha-?[0-9]{1,3}|md5|digest|checksum|integrity|commit|revision|rev|hash|head|trace(?:parent|[-_ ]?id)?)"
    r"[\W_]{1,3}$",
    re.IGNORECASE,
)
_HEX = re.compile(r"(?:00-)?[0-9a-f]{32,128}(?:-[0-9a-f]{16}-[0-9a-f]{2})?")
_INTEGRITY = re.compile(r"sha(?:1|256|384|512)-")
_DIGIT = re.compile("[0-9]")
_PATH = frozenset("/\\")

# The password in a URL.
_PASSWORD = re.compile(r"://[^\s/?#@:]*+:([^\s/?#@]++)@")

# A text of the form of a key is one under any name: long, without blanks, of letters and digits.
_KEY = re.compile(r"(?=\S*[A-Za-z])(?=\S*\d)[^\s/~]\S{15,}")


def is_secret(name: str) -> bool:
    """True if the value of a key of this name is a secret."""
    return SECRET.search(name) is not None


def shaped(text: str) -> Iterator[tuple[int, int]]:
    """Iterate over the places of tokens and private keys in a text."""
    for found in TOKEN.finditer(text):
        yield found.span()
    if _KEY_MARK in text:
        for found in PRIVATE_KEY.finditer(text):
            yield found.span()


def generic(text: str) -> Iterator[tuple[int, int]]:
    """Iterate over the places of the generic shape in a text."""
    for found in _RUN.finditer(text):
        start, stop = found.span()
        is_path = text[start - 1 : start] in _PATH or text[stop : stop + 1] in _PATH
        if not is_path and is_random(found[0]) and not _is_digest(text, found):
            yield start, stop
    for found in _LINE.finditer(text):
        if is_random(found[1]):
            yield found.span(1)


def is_random(run: str) -> bool:
    """True if a run of characters is of mixed classes, and made of other parts than words, numbers and dates."""
    classes = (run != run.lower(), run != run.upper(), _DIGIT.search(run) is not None)
    return sum(classes) > 1 and not all(map(_PLAIN.fullmatch, _SEPARATORS.split(run)))


def _is_digest(text: str, found: re.Match[str]) -> bool:
    if _INTEGRITY.match(found[0]):
        return True
    is_led = _DIGEST.search(text, max(0, found.start() - 24), found.start()) is not None
    return is_led and _HEX.fullmatch(found[0]) is not None


def without_tokens(text: str) -> str:
    """Return a text without tokens, private keys and texts of the generic shape."""
    spans = sorted((*shaped(text), *generic(text)))
    return cut(text, spans) if spans else text


def cut(text: str, spans: list[tuple[int, int]], shown: int | None = None) -> str:
    """Return a text with the mask in the place of each of these spans, of which some may overlap.

    :param spans: sorted spans.
    :param shown: the number of the text's characters to show; None for all.
    """
    end = len(text) if shown is None else min(shown, len(text))
    parts: list[str] = []
    at = 0
    for start, stop in merged(spans):
        if start >= end:
            break
        parts += (text[at:start], MASK)
        at = stop
    parts.append(text[at:end])
    return "".join(parts)


def merged(spans: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Iterate over sorted spans, with those that overlap merged."""
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


def secrets_in(env: Mapping[str, str]) -> tuple[str, ...]:
    """Return the values of an environment that are never shown, by line, the longest first."""
    found = {line for name, value in env.items() for line in _secret_lines(name, value)}
    return tuple(sorted(found, key=lambda each: (-len(each), each)))


def _secret_lines(name: str, value: str) -> Iterator[str]:
    is_named = is_secret(name)
    for line in map(str.strip, value.splitlines()):
        is_address = "://" in line and "@" not in line  # an error message is useless without it
        if len(line) >= NAMED_CHARS if is_named else _KEY.fullmatch(line) and not is_address:
            yield line
        # Programs print the password alone, too.
        for found in _PASSWORD.finditer(line):
            yield from (each for each in {found[1], unquote(found[1])} if len(each) >= NAMED_CHARS)


def without(text: bytes, hidden: tuple[str, ...]) -> bytes:
    """Return a text without these secrets."""
    for each in hidden:
        text = text.replace(each.encode("utf-8", "surrogateescape"), MASK.encode())
    return text
