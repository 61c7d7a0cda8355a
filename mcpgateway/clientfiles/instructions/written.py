"""Write the files for agents by way of the ledger, keep them up to date, and remove them.

# Note [A user's edits]
In a file of a user's own, only the block between its marks is the gateway's.  A file that the gateway made is its own
until its user edits it: from then on it is left as it is, also when the texts are removed.  A file that its user has
removed is made again by `install` only.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from enum import Enum
from typing import Any

from attrs import asdict, evolve, frozen

from mcpgateway.clientfiles.apply import ledger_locked
from mcpgateway.clientfiles.backups import digest_of
from mcpgateway.clientfiles.enrolment_records import TEXT, EnrolledEntry, FileRecord, KeyPath, unwound
from mcpgateway.clientfiles.formats.rewrite import ReplacedEntry
from mcpgateway.clientfiles.instructions import block
from mcpgateway.clientfiles.instructions.wanted import InstalledTexts, WantedText, block_of, wanted
from mcpgateway.clientfiles.ledger import EditResult
from mcpgateway.clientfiles.machine import Machine
from mcpgateway.clientfiles.reader import has_instructions, instructions_file
from mcpgateway.clientfiles.transaction import FILE_LIMIT, refusal
from mcpgateway.errors import ConfigError
from mcpgateway.system import home_files
from mcpgateway.system.files import any_text_of, bytes_of, read_bytes

SHARED_MODE = 0o644  # a project's files are for all who work on it


class TextState(Enum):
    """The state of a file for agents, or what was done with it."""

    WRITTEN = "written"
    CURRENT = "up to date"
    BEHIND = "behind"
    EDITED = "edited since, and left as it is"
    FOREIGN = "not the gateway's, and left as it is"
    GONE = "not there"
    REMOVED = "removed"
    RESTORED = "as before"
    FAILED = "failed"


@frozen
class TextReport:
    """The report on one file for agents.

    :ivar clients: the names of the clients that read it.
    :ivar error: the reason why it could not be changed; empty where it could.
    """

    path: str
    clients: tuple[str, ...]
    state: TextState
    error: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return the report for programs."""
        return {**asdict(self), "clients": list(self.clients), "state": self.state.value}


@frozen
class _State:
    """The installed texts, and the directories that were made for them, in order."""

    installed: tuple[InstalledTexts, ...] = ()
    made: tuple[str, ...] = ()


def install(machine: Machine, texts: Iterable[InstalledTexts]) -> list[TextReport]:
    """Write the files of clients' agents, and keep them up to date from then on.

    :raise ConfigError: the ledger or the configuration cannot be used.
    """
    with ledger_locked(machine):
        state, news = _read(machine), tuple(texts)
        chosen = {(each.client, each.project): each for each in (*state.installed, *news)}
        return _follow(
            machine, evolve(state, installed=tuple(chosen.values())), again=_by_path(machine, news).keys()
        )


def refresh(machine: Machine) -> None:
    """Bring the files of agents up to date with the gateway; a fault is for `listed` to report."""
    if has_instructions(machine.home):
        with suppress(ConfigError, OSError), ledger_locked(machine):
            _follow(machine, _read(machine))


def uninstall(machine: Machine, is_meant: Callable[[InstalledTexts], bool]) -> list[TextReport]:
    """Remove texts of clients' agents, and the files that were made for them.

    :raise ConfigError: the ledger or the configuration cannot be used.
    """
    if not (has_instructions(machine.home) or machine.records.texts):
        return []
    with ledger_locked(machine):
        state = _read(machine)
        kept = tuple(each for each in state.installed if not is_meant(each))
        had = {each.path for each in machine.records.texts.values()}
        reports = _follow(machine, evolve(state, installed=kept))
        # A file of the texts that stay is for `listed` to report.
        return [each for each in reports if each.path in had and each.state is not TextState.CURRENT]


def listed(machine: Machine) -> list[TextReport]:
    """Return the state of every file for agents.

    :raise ConfigError: the ledger or the configuration cannot be used.
    """
    if not (has_instructions(machine.home) or machine.records.texts):
        return []
    with ledger_locked(machine):  # between the steps of a change, a file looks edited
        texts, records = _by_path(machine, _read(machine).installed), machine.records.texts
        return [
            _state(machine, records.get(path), texts.get(path)) for path in dict.fromkeys((*records, *texts))
        ]


def _follow(machine: Machine, state: _State, again: Collection[str] = ()) -> list[TextReport]:
    """Write the files of the installed texts, and remove the others that the ledger has.

    :param again: the paths of files that are made again where their user has removed them.
    """
    texts = _by_path(machine, state.installed)
    records = machine.records.texts
    former = [each for path, each in records.items() if path not in texts]
    news = {
        path: each
        for path, each in texts.items()
        if (path in again or path not in records or os.path.lexists(path))
        and (not each.project or os.path.isdir(each.project))  # its user has moved or removed it
    }
    made = [each for path in news for each in _missing(os.path.dirname(path))]
    state = evolve(state, made=tuple(dict.fromkeys((*state.made, *made))))
    _keep(machine, state)
    reports = [_reported(_remove, machine, each) for each in former]
    reports += [_reported(_put, machine, each) for each in news.values()]
    _keep(
        machine,
        evolve(state, made=tuple(reversed([each for each in reversed(state.made) if _is_used(each)]))),
    )
    machine.look_again()
    return reports


def _by_path(machine: Machine, installed: Iterable[InstalledTexts]) -> dict[str, WantedText]:
    found: dict[str, WantedText] = {}
    for each in installed:
        for text in wanted(machine, each):
            real = os.path.realpath(text.path)
            clients = found[real].clients if real in found else frozenset()
            found[real] = evolve(text, clients=clients | {each.client}, project=each.project)
    return found


def _reported(
    work: Callable[[Machine, Any], TextReport], machine: Machine, it: FileRecord | WantedText
) -> TextReport:
    try:
        return work(machine, it)
    except OSError as why:
        return TextReport(it.path, (), TextState.FAILED, str(refusal(it.path, why)))
    except ConfigError as why:
        return TextReport(it.path, (), TextState.FAILED, str(why))


def _put(machine: Machine, text: WantedText) -> TextReport:
    """Write one file, or the block in it."""
    os.makedirs(os.path.dirname(os.path.realpath(text.path)), exist_ok=True)
    is_new = not os.path.exists(text.path)
    its = _block(machine, text)
    states = []

    def edit(present: str, record: FileRecord | None) -> EditResult:
        made, state = _edited(text, its, present, record, is_new=is_new)
        states.append(state)
        if state is not TextState.WRITTEN:
            return EditResult(present, record)
        about = {
            "digest": digest_of(bytes_of(made)),
            "front": text.front,
            "is_block": text.text is None,
            "is_new": is_new if record is None else _about(record)["is_new"],
        }
        entries: dict[KeyPath, EnrolledEntry] = {
            (name,): EnrolledEntry("", ReplacedEntry((name,), name, None, about))
            for name in sorted(text.clients)
        }
        return EditResult(made, FileRecord(text.path, min(text.clients), TEXT, text.project, entries))

    changed = machine.ledger.change(text.path, edit, create=is_new, is_prose=True)
    if is_new and text.project:
        os.chmod(text.path, SHARED_MODE)
    state = TextState.CURRENT if changed is None and states[-1] is TextState.WRITTEN else states[-1]
    return TextReport(text.path, tuple(sorted(text.clients)), state)


def _edited(
    text: WantedText, its_block: str, present: str, record: FileRecord | None, *, is_new: bool
) -> tuple[str, TextState]:
    """Return the text of a file with the wanted one, and whether it may be written; see Note [A user's edits]."""
    if text.text is None:
        data = None if is_new and not present else bytes_of(present)
        return any_text_of(block.put(data, its_block, text.front), text.path), TextState.WRITTEN
    if record is None and not is_new and present != text.text:
        return present, TextState.FOREIGN
    if record is not None and present and _is_edited(record, present):
        return present, TextState.EDITED
    return text.text, TextState.WRITTEN


def _remove(machine: Machine, record: FileRecord) -> TextReport:
    """Remove one file, or the block in it."""
    clients = tuple(key_path[0] for key_path in record.entries)
    try:
        data = read_bytes(record.path, FILE_LIMIT)
    except FileNotFoundError:
        machine.ledger.forget(record.path)
        return TextReport(record.path, clients, TextState.REMOVED)
    left = _left(record, any_text_of(data, record.path))
    if left is None:
        os.unlink(os.path.realpath(record.path))
        machine.ledger.forget(record.path)
        return TextReport(record.path, clients, TextState.REMOVED)
    machine.ledger.change(
        record.path, lambda text, _: EditResult(_left(record, text) or "", None), is_prose=True
    )
    is_kept = not _about(record)["is_block"]
    return TextReport(record.path, clients, TextState.EDITED if is_kept else TextState.RESTORED)


def _left(record: FileRecord, text: str) -> str | None:
    """Return the text of a file without the gateway's; None where the file was made for it."""
    about = _about(record)
    exact = unwound(record, text)
    if exact is not None:
        return None if about["is_new"] and not exact else exact
    if not about["is_block"]:
        return text if _is_edited(record, text) else None
    data = bytes_of(text)
    if block.find(data) is None:
        return text
    rest = block.take_out(data, about["front"])
    return None if rest is None else any_text_of(rest, record.path)


def _state(machine: Machine, record: FileRecord | None, text: WantedText | None) -> TextReport:
    """Return the state of a file that the ledger has, or that is to be written, or both."""
    path = record.path if record is not None else text.path if text is not None else ""
    names = {each[0] for each in record.entries} if record is not None else text.clients if text else ()
    report = TextReport(path, tuple(sorted(names)), TextState.BEHIND)
    try:
        present = any_text_of(read_bytes(path, FILE_LIMIT), path)
        if text is None:
            return report
        made, state = _edited(text, _block(machine, text), present, record, is_new=False)
    except FileNotFoundError:
        return evolve(report, state=TextState.GONE)
    except ConfigError as why:
        return evolve(report, state=TextState.FAILED, error=str(why))
    if state is TextState.WRITTEN:
        state = TextState.CURRENT if made == present and record is not None else TextState.BEHIND
    return evolve(report, state=state)


def _block(machine: Machine, text: WantedText) -> str:
    return block_of(machine, text.clients, text.project) if text.text is None else ""


def _about(record: FileRecord) -> Mapping[str, Any]:
    """Return what the ledger has on a file beside its changes."""
    return next((each.replaced.ours for each in record.entries.values()), {})


def _is_edited(record: FileRecord, text: str) -> bool:
    return digest_of(bytes_of(text)) != _about(record).get("digest")


# The installed texts


def _read(machine: Machine) -> _State:
    path = instructions_file(machine.home)
    try:
        found = json.loads(home_files.read_text(path, FILE_LIMIT))
        return _State(tuple(InstalledTexts(**each) for each in found["installed"]), tuple(found["made"]))
    except FileNotFoundError:
        return _State()
    except (ValueError, TypeError, KeyError) as why:
        raise ConfigError(
            f"{path}: is damaged ({why}); remove it, and install the instructions again"
        ) from why


def _keep(machine: Machine, state: _State) -> None:
    path = instructions_file(machine.home)
    if state.installed or state.made:
        home_files.keep(path, json.dumps(asdict(state)).encode())
    else:
        home_files.remove(path)


def _missing(directory: str) -> Sequence[str]:
    """Return the directories that have to be made for one, the outermost first."""
    found: list[str] = []
    while not os.path.isdir(directory) and directory != os.path.dirname(directory):
        found.insert(0, directory)
        directory = os.path.dirname(directory)
    return found


def _is_used(directory: str) -> bool:
    """Remove a directory if it is empty; return whether it is still there."""
    with suppress(OSError):
        os.rmdir(directory)
    return os.path.isdir(directory)
