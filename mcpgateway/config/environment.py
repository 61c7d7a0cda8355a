"""The variables of a child's environment, and those that it never has."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from enum import Enum

from msgspec import Struct

# Programs find their files and their user by these; no credential is among them.
MINIMAL = frozenset("HOME LOGNAME USER PATH SHELL TERM LANG TMPDIR".split())
# The proxies of a program (curl and most others read these in lower case, too), and the certificates it trusts.
PROXIES = frozenset("HTTP_PROXY HTTPS_PROXY ALL_PROXY NO_PROXY".split())
AUTHORITIES = frozenset(
    "SSL_CERT_FILE SSL_CERT_DIR REQUESTS_CA_BUNDLE CURL_CA_BUNDLE NODE_EXTRA_CA_CERTS NODE_USE_SYSTEM_CA"
    " NODE_USE_ENV_PROXY GIT_SSL_CAINFO AWS_CA_BUNDLE DENO_CERT CARGO_HTTP_CAINFO".split()
)
# With these a program checks no certificate.
UNCHECKED = frozenset("NODE_TLS_REJECT_UNAUTHORIZED GIT_SSL_NO_VERIFY PYTHONHTTPSVERIFY".split())
# The desktop that a program shows its windows on.
DESKTOP = frozenset("DISPLAY WAYLAND_DISPLAY XAUTHORITY DBUS_SESSION_BUS_ADDRESS".split())
# Programs need these to work on this machine.
HANDED_ON = MINIMAL | AUTHORITIES | DESKTOP | {"LANGUAGE", "TZ"}
HANDED_ON_PREFIXES = ("LC_", "XDG_", "npm_config_", "NPM_CONFIG_", "UV_", "PIP_")

# Values in files may name these, too; no credential is among them.
SOURCES = frozenset("TEMP TMP GOPATH GOROOT USERPROFILE SSH_AUTH_SOCK".split())

# The gateway's own settings and secrets, under its own and its predecessors' names.
OWN_PREFIXES = ("MCPGATEWAY_", "MCP_GATEWAY_")
OWN_NAMES = frozenset({"MCP_CONFIG_PATH", "MCPGATEWAY", "MCP_GATEWAY"})

# They describe one process or one shell, not a user: systemd's hand-over, a shell's book-keeping, the descriptors that
# Node.js and make have open for a child, and the session of a client in whose terminal the gateway was started.
PASSING = frozenset(
    "_ SHLVL PWD OLDPWD NOTIFY_SOCKET LISTEN_FDS LISTEN_PID LISTEN_FDNAMES WATCHDOG_USEC WATCHDOG_PID"
    " INVOCATION_ID JOURNAL_STREAM MAINPID CLAUDECODE CLAUDE_CODE_SESSION_ID CLAUDE_CODE_ENTRYPOINT"
    " CLAUDE_CODE_SSE_PORT CLAUDE_PROJECT_DIR NODE_CHANNEL_FD NODE_CHANNEL_SERIALIZATION_MODE NODE_UNIQUE_ID"
    " MAKEFLAGS MFLAGS MAKELEVEL".split()
)

CODE_LOADING = frozenset(
    "PATH SHELL IFS ENV PS4 PROMPT_COMMAND SHELLOPTS BASHOPTS ZDOTDIR GCONV_PATH BROWSER NODE_OPTIONS NODE_PATH"
    " JAVA_TOOL_OPTIONS _JAVA_OPTIONS JAVA_OPTIONS JDK_JAVA_OPTIONS CLASSPATH RUBYOPT RUBYLIB PERL5OPT PERL5LIB PERL5DB"
    " PERLLIB PIP_INDEX_URL PIP_EXTRA_INDEX_URL UV_INDEX_URL UV_DEFAULT_INDEX GIT_SSH GIT_SSH_COMMAND GIT_EXEC_PATH"
    " GIT_ASKPASS GIT_EDITOR GIT_SEQUENCE_EDITOR GIT_PAGER GIT_EXTERNAL_DIFF GIT_PROXY_COMMAND GIT_TEMPLATE_DIR"
    " SSH_ASKPASS EDITOR VISUAL PAGER LESSOPEN LESSCLOSE DOTNET_STARTUP_HOOKS LUA_INIT PHPRC PHP_INI_SCAN_DIR"
    " OPENSSL_CONF OPENSSL_ENGINES OPENSSL_MODULES BUN_OPTIONS GOFLAGS MAVEN_OPTS GRADLE_OPTS RUSTC_WRAPPER ERL_FLAGS"
    " ERL_AFLAGS ERL_ZFLAGS ELIXIR_ERL_OPTIONS R_PROFILE R_PROFILE_USER".split()
)
CODE_LOADING_PREFIXES = ("LD_", "DYLD_", "PYTHON", "BASH_", "GIT_CONFIG", "NPM_CONFIG_", "LUA_INIT_")
# Directories and registries from which programs take configuration and code; the user's own files may set them.
LEADING = frozenset(
    "HOME XDG_CONFIG_HOME BUN_CONFIG_REGISTRY COREPACK_NPM_REGISTRY GOPROXY GEM_HOME GEM_PATH CARGO_HOME".split()
)
LEADING_PREFIXES = ("PIP_", "UV_")
# Variables of Python that do not change the code it runs.
HARMLESS = frozenset(
    "PYTHONUNBUFFERED PYTHONIOENCODING PYTHONUTF8 PYTHONHASHSEED PYTHONDONTWRITEBYTECODE".split()
)


class Inherited(Enum):
    """The extent of the login environment that a child gets."""

    MINIMAL = "minimal"
    LISTED = "allow-list"
    FULL = "full"


class EnvPolicy(Struct, frozen=True):
    """The variables that a child gets although its entry does not name them.

    :ivar given: the extent of the login environment.
    :ivar more: further names, also of tokens; a ``*`` at the end stands for any ending.
    :ivar fewer: names that are left out.
    """

    given: Inherited = Inherited.LISTED
    more: tuple[str, ...] = ()
    fewer: tuple[str, ...] = ()

    @property
    def is_full(self) -> bool:
        """True if a child gets the whole environment, as with clients and most other gateways."""
        return self.given is Inherited.FULL

    def handed_on(self, environ: Mapping[str, str], is_token: IsToken) -> dict[str, str]:
        """Return the variables of an environment that a child gets."""
        return {
            name: value
            for name, value in environ.items()
            if not _is_among(name, self.fewer) and self._gives(name, value, is_token)
        }

    def sources(self, environ: Mapping[str, str], is_token: IsToken) -> dict[str, str]:
        """Return the variables of a login that values in files may name."""
        if self.is_full:
            return dict(environ)
        return {
            name: value
            for name, value in environ.items()
            if name in SOURCES or self._gives(name, value, is_token)
        }

    def _gives(self, name: str, value: str, is_token: IsToken) -> bool:
        if self.is_full or name in MINIMAL or _is_among(name, self.more):
            return True
        return self.given is Inherited.LISTED and is_handed_on(name, value, is_token)

    def __str__(self) -> str:
        return " ".join((self.given.value, *self.more, *(f"-{each}" for each in self.fewer)))


IsToken = Callable[[str, str], bool]
"""Returns true for the name and value of a variable that holds a token, which is passed on only where it is named."""

FULL = EnvPolicy(Inherited.FULL)
LISTED = EnvPolicy()


def no_token(name: str, value: str) -> bool:
    """Treat no variable as a token."""
    return False


def is_handed_on(name: str, value: str = "", is_token: IsToken = no_token) -> bool:
    """True if every child gets this variable."""
    if name in HANDED_ON or name.upper() in PROXIES:
        return True
    return name.startswith(HANDED_ON_PREFIXES) and not is_token(name, value)


def _is_among(name: str, names: Iterable[str]) -> bool:
    return any(name == each or (each.endswith("*") and name.startswith(each[:-1])) for each in names)


def is_from_shell(environ: Mapping[str, str]) -> bool:
    """True if a process with this environment was started from a user's shell."""
    return "SHLVL" in environ and "TERM" in environ


def for_children(environ: Mapping[str, str]) -> dict[str, str]:
    """Return a process's environment without the variables of the gateway and of single processes."""
    return {
        name: value
        for name, value in environ.items()
        if name not in PASSING and name not in OWN_NAMES and not name.startswith(OWN_PREFIXES)
    }


def beyond(own: Mapping[str, str], variables: Mapping[str, str]) -> dict[str, str]:
    """Return variables, with those that decide about programs, directories and peers from the user's own files only.

    :param own: the variables without those of a checked out directory.
    """
    return {name: each for name, each in variables.items() if not _decides(name)} | {
        name: each for name, each in own.items() if _decides(name)
    }


def refused(names: Iterable[str]) -> list[str]:
    """Return those of the variables that may not be set from outside of the user's own files."""
    return sorted(name for name in names if _loads_code(name.upper()) or _leads(name.upper()))


def code_loading(names: Iterable[str]) -> list[str]:
    """Return those of the variables that can make a harmless program run other code."""
    return sorted(name for name in names if _loads_code(name.upper()))


def _loads_code(name: str) -> bool:
    return name not in HARMLESS and (name in CODE_LOADING or name.startswith(CODE_LOADING_PREFIXES))


def _decides(name: str) -> bool:
    upper = name.upper()
    if upper in PROXIES | AUTHORITIES | UNCHECKED | DESKTOP or upper.startswith("XDG_"):
        return True  # a forged answer does as much harm as foreign code
    return _loads_code(upper) or _leads(upper)


def _leads(name: str) -> bool:
    return name in LEADING or name.startswith(LEADING_PREFIXES)
