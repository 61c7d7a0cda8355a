"""``servers search`` and ``servers install``: the files of this machine that they read and write."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from attrs import field, frozen

from mcpgateway.cli.local.own_keys import make_directory, write_checked
from mcpgateway.config.document import printable
from mcpgateway.config.edit import permissions
from mcpgateway.config.edit.edits import Put, placed
from mcpgateway.config.edit.file_text import edit as with_edit
from mcpgateway.config.edit.file_text import in_its_dialect
from mcpgateway.config.read import parse
from mcpgateway.config.registry import is_server_json
from mcpgateway.config.resolve import World
from mcpgateway.errors import ConfigError, InvalidParams
from mcpgateway.hints import cli
from mcpgateway.manage.secret_values import ValueOwners, notes_of, owners
from mcpgateway.system import files
from mcpgateway.system.catalog.fetching import BODY_LIMIT, decoded, fetch_json
from mcpgateway.system.settings import LoadOptions, config_file, examine, values_file

BROKEN = f"the configuration has an error, please mend that first: {cli('config check')}"
OVER_HTTP = ("http://", "https://")


@frozen
class Surroundings:
    """The configuration that a server is installed into.

    :ivar names: the names of its servers.
    :ivar values_file: the file of the gateway's own values.
    :ivar whose: the servers that these values belong to.
    """

    registry_url: str
    names: tuple[str, ...]
    values_file: str
    world: World = field(repr=False)
    whose: ValueOwners


def surroundings(options: LoadOptions, environ: Mapping[str, str]) -> Surroundings:
    """Read the configuration.

    :raise ConfigError: the configuration has an error.
    """
    settings = examine(options, environ).settings
    if settings is None:
        raise ConfigError(BROKEN)
    names = tuple(each.name for each in settings.servers)
    world = settings.world if settings.world is not None else World({}, {}, os.path.expanduser("~"))
    file = values_file(options, environ)
    whose = owners(file, settings.blueprints)
    return Surroundings(settings.gateway.registry_url, names, file, world, whose)


def described(word: str) -> Any:
    """Return the server.json at a path or a URL; any other word is returned unchanged.

    :raise GatewayError: the document cannot be read, or is no server.json.
    """
    if word.startswith(OVER_HTTP):
        found = fetch_json(word)
    elif os.path.isfile(word) and ("/" in word or word.endswith(".json")):
        try:
            found = decoded(files.read_bytes(os.path.abspath(word), BODY_LIMIT), os.path.abspath(word))
        except OSError as why:
            raise ConfigError(f"{word}: cannot be read: {why.strerror}") from why
    elif word.endswith(".json"):
        raise ConfigError(f"{word}: there is no such file")
    else:
        return word
    if not isinstance(found, dict) or not is_server_json(found):
        raise InvalidParams(
            f"{printable(word)} is no server.json: it names neither packages nor remotes",
            f"{cli('servers add NAME URL')} adds the server at a URL, and {cli('servers add -')} takes other JSON",
        )
    return found


def put_secrets(place: Surroundings, values: Mapping[str, str], server: str) -> None:
    """Write values into the gateway's own file of values.

    :raise ConfigError: the file cannot be written.
    """
    from mcpgateway.credentials.commands import put_values

    files.make_home(os.path.dirname(place.values_file))
    put_values(place.values_file, values, notes_of(values, server))


def add_to_file(
    name: str, definition: Mapping[str, Any], options: LoadOptions, environ: Mapping[str, str]
) -> str:
    """Write a server into the configuration file, without a gateway; return the file.

    :raise GatewayError: the entry is not permitted, and no file was changed.
    """
    permissions.check(Put((name,), dict(definition)))
    file = config_file(options, environ)
    make_directory(file, options, environ)

    def edited(text: str) -> str:
        made = with_edit(text, file, placed(parse(text, file).value, Put((name,), dict(definition))))
        return in_its_dialect(text, made, file)

    write_checked(file, edited, options, environ)
    return file
