"""Real KeePass databases, quick to open."""

from functools import cache
from io import BytesIO
from pathlib import Path

from pykeepass import PyKeePass, create_database

PASSWORD = "opens, it!"


@cache
def _blank() -> bytes:
    """An empty database; to derive its key is work for a millisecond, and not for a second as usual."""
    made = create_database(BytesIO(), PASSWORD)
    cost = made.kdbx.header.value.dynamic_header.kdf_parameters.data.dict
    cost["I"].value, cost["M"].value = 1, 64 * 1024
    out = BytesIO()
    made.save(out)
    return out.getvalue()


def database(path: Path, password=PASSWORD, key_file=None):
    """A database with entries for a few servers, of which one is in a group in a group, and one was thrown away."""
    path.write_bytes(_blank())
    made = PyKeePass(str(path), PASSWORD)
    made.password, made.keyfile = password, key_file
    root = made.root_group
    github = made.add_entry(root, "github", "ada", 'p"w$d\\{env:X}', url="https://x", notes="ignored")
    github.set_custom_property("token", "ghp_0123456789", protect=True)
    github.set_custom_property("HDR_X-Api-Key", "${HOME}")
    made.add_entry(root, "", "nobody", "untitled")
    work = made.add_group(root, "work")
    mail = made.add_entry(made.add_group(work, "mail"), "mail-1", "bob", "first")
    mail.save_history()
    mail.password = "second"
    gone = made.add_entry(root, "gone", "x", "y")
    made.trash_entry(gone)
    made.save()
    return made
