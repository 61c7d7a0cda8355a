"""``mcpgateway credential``: from a real KeePass database to a file of values."""

import io
import json
import os
import stat
import sys

import pytest

from mcpgateway.cli.main import run
from mcpgateway.config.dotenv import parse_dotenv
from tests.support.keepass import PASSWORD, database

SECRETS = ("ghp_0123456789", "second", 'p"w', PASSWORD)
GITHUB = {
    "GITHUB_PASSWORD": 'p"w$d\\{env:X}',
    "GITHUB_USER": "ada",
    "GITHUB_TOKEN": "ghp_0123456789",
    "GITHUB_HDR_X_API_KEY": "${HOME}",
}
MAIL = {"MAIL_1_PASSWORD": "second", "MAIL_1_USER": "bob"}


@pytest.fixture
def vault(tmp_path, monkeypatch):
    """A database and its password in a file, in the current directory."""
    monkeypatch.chdir(tmp_path)
    database(tmp_path / "vault.kdbx")
    (tmp_path / "password").write_text(f"{PASSWORD}\r\nnot this\n")
    return tmp_path


def told(capsys, *words):
    """Run the command for a program: its exit code and its answer."""
    code = run(["--json", "credential", *words])
    out = capsys.readouterr().out
    assert not any(each in out for each in SECRETS)
    return code, json.loads(out)


OPEN = ("--password-file", "password")


class ImportTests:
    @pytest.mark.parametrize("words", [("import-kdbx", "vault.kdbx"), ("import", "--keepass", "vault.kdbx")])
    def test_env_file(self, vault, capsys, words):
        """Both commands write a file that our own reader understands, private; the answer has names only."""
        (vault / ".env").write_text("# mine\nGITHUB_USER=old  # him\nOTHER=1\n")
        os.chmod(vault / ".env", 0o644)
        code, said = told(capsys, *words, *OPEN)
        assert code == 0
        text = (vault / ".env").read_text()
        assert parse_dotenv(text, ".env") == {"OTHER": "1", **GITHUB, **MAIL}
        assert text.startswith('# mine\nGITHUB_USER="ada" # him\nOTHER=1\n')
        assert "# WARNING: a header" in text
        assert stat.S_IMODE(os.stat(vault / ".env").st_mode) == 0o600
        assert (said["version"], said["mode"], said["found"]) == (1, "to-env-file", 2)
        assert said["servers"] == [
            {
                "name": "github",
                "env_vars": ["GITHUB_PASSWORD", "GITHUB_TOKEN", "GITHUB_USER"],
                "headers": ["X-Api-Key"],
            },
            {"name": "mail-1", "env_vars": ["MAIL_1_PASSWORD", "MAIL_1_USER"], "headers": []},
        ]
        assert [(each["name"], each["status"]) for each in said["results"]] == [
            ("github", "ok"),
            ("mail-1", "ok"),
        ]

    def test_dry_run(self, vault, capsys):
        """A rehearsal writes nothing, and has no results."""
        code, said = told(capsys, "import-kdbx", "vault.kdbx", *OPEN, "--dry-run")
        assert (code, said["mode"], said["found"], "results" in said) == (0, "dry-run", 2, False)
        assert not (vault / ".env").exists()

    @pytest.mark.parametrize("group", ["work", "mail", "work/mail", "/work/mail/"])
    def test_group(self, vault, capsys, group):
        """A group is named by its name or its road, and those below it count."""
        _, said = told(capsys, "import-kdbx", "vault.kdbx", *OPEN, "--dry-run", "--group", group)
        assert [each["name"] for each in said["servers"]] == ["mail-1"]

    def test_no_group(self, vault, capsys):
        """A group that is not there is an error."""
        code, said = told(capsys, "import-kdbx", "vault.kdbx", *OPEN, "--group", "mail/work")
        assert (code, said["error"]) == (1, "vault.kdbx: there is no group 'mail/work'")

    def test_stdin(self, vault, capsys, monkeypatch):
        """The password is the first line of stdin."""
        stdin = io.TextIOWrapper(io.BytesIO(f"{PASSWORD}\n".encode()))
        monkeypatch.setattr(sys, "stdin", stdin)
        code, said = told(capsys, "import-kdbx", "vault.kdbx", "--password-stdin", "--to-env-file", "x.env")
        assert (code, said["found"]) == (0, 2)
        assert parse_dotenv((vault / "x.env").read_text(), "x.env") == GITHUB | MAIL

    @pytest.mark.parametrize(("password", "file"), [(None, ()), (PASSWORD, OPEN)])
    def test_key_file(self, vault, capsys, password, file):
        """A key file opens the database, alone or together with a password."""
        (vault / "key").write_bytes(bytes(range(32)))
        database(vault / "keyed.kdbx", password, str(vault / "key"))
        code, said = told(capsys, "import-kdbx", "keyed.kdbx", "--key-file", "key", *file, "--dry-run")
        assert (code, said["found"]) == (0, 2)

    def test_wrong_password(self, vault, capsys):
        """A wrong password is told as such, and not shown."""
        (vault / "wrong").write_text("sesame-open\n")
        code, said = told(capsys, "import-kdbx", "vault.kdbx", "--password-file", "wrong")
        assert (code, said["error"]) == (
            1,
            "vault.kdbx: the password is not the right one, or a key file is needed",
        )

    def test_long_password(self, vault, capsys):
        """A line of 4096 bytes may be a password, and a longer one is none."""
        (vault / "long").write_text("x" * 4097 + "\n")
        code, said = told(capsys, "import-kdbx", "vault.kdbx", "--password-file", "long")
        assert (code, said["error"]) == (
            1,
            "the password cannot be read from long: its first line is longer than 4096 bytes",
        )
        (vault / "long").write_text("x" * 4096 + "\r\n")
        _, said = told(capsys, "import-kdbx", "vault.kdbx", "--password-file", "long")
        assert "not the right one" in said["error"]

    @pytest.mark.parametrize("which", ["kdbx", "key", "env"])
    def test_links(self, vault, capsys, which):
        """Neither the database nor the key file nor the file of values may be a symbolic link."""
        (vault / "key").write_bytes(bytes(32))
        (vault / "elsewhere").write_text("A=1\n")
        target = {"kdbx": "vault.kdbx", "key": "key", "env": "elsewhere"}[which]
        (vault / "link").symlink_to(target)
        words = {
            "kdbx": ("link", *OPEN),
            "key": ("vault.kdbx", *OPEN, "--key-file", "link"),
            "env": ("vault.kdbx", *OPEN, "--to-env-file", "link"),
        }[which]
        code, said = told(capsys, "import-kdbx", *words)
        assert code == 1
        assert said["error"].endswith("link: is a symbolic link")
        assert (vault / "elsewhere").read_text() == "A=1\n"

    def test_no_database(self, vault, capsys):
        """A file of another kind is an error in one line."""
        code, said = told(capsys, "import-kdbx", "password", *OPEN)
        assert code == 1
        assert said["error"].startswith("password: cannot be read as a KeePass database")

    def test_one_prefix(self, vault, capsys):
        """Two entries that would give the same variables are an error, and nothing is written."""
        made = database(vault / "two.kdbx")
        made.add_entry(made.root_group, "mail.1", "x", "y")
        made.save()
        code, said = told(capsys, "import-kdbx", "two.kdbx", *OPEN)
        assert (code, "MAIL_1_" in said["error"]) == (1, True)
        assert not (vault / ".env").exists()

    def test_references(self, vault, capsys):
        """A field that refers to another entry's has that one's value; one that leads nowhere is an error."""
        made = database(vault / "refs.kdbx")
        group = made.add_group(made.root_group, "refs")
        mail = made.find_entries(title="mail-1", first=True)
        entry = made.add_entry(group, "third", "x", f"{{REF:P@I:{mail.uuid.hex.upper()}}}")
        made.save()
        words = ("import-kdbx", "refs.kdbx", *OPEN, "--group", "refs")
        assert told(capsys, *words)[0] == 0
        assert parse_dotenv((vault / ".env").read_text(), "")["THIRD_PASSWORD"] == "second"
        entry.password = "{REF:P@I:00000000000000000000000000000000}"
        made.save()
        code, said = told(capsys, *words)
        assert (code, said["error"]) == (1, "'third': a field refers to an entry that is not there")
        entry.password = f"{{REF:P@I:{entry.uuid.hex.upper()}}}"
        made.save()
        assert told(capsys, *words)[0] == 1

    def test_not_installed(self, vault, capsys, monkeypatch):
        """An error without the library says how to install it."""
        monkeypatch.setitem(sys.modules, "pykeepass", None)
        code, said = told(capsys, "import-kdbx", "vault.kdbx", *OPEN)
        assert code == 1
        assert said["hint"] == "install it beside the gateway: pip install 'mcpgateway[keepass]'"

    def test_one_way(self, vault, capsys):
        """The target of the credentials, and the place of the password, can be named once only."""
        code, said = told(capsys, "import-kdbx", "vault.kdbx", *OPEN, "--to-server", "--to-env-file", "x")
        assert (code, said["error"]) == (64, "--to-env-file and --to-server: name one of them")
        code, said = told(capsys, "import-kdbx", "vault.kdbx", *OPEN, "--password-stdin")
        assert (code, said["error"]) == (64, "--password-file and --password-stdin: name one of them")

    def test_no_gateway(self, vault, capsys, monkeypatch):
        """Without a gateway there is no server to give anything to."""
        monkeypatch.setenv("MCPGATEWAY_HOME", str(vault / "home"))
        code, said = told(capsys, "import-kdbx", "vault.kdbx", *OPEN, "--to-server")
        assert (code, "hint" in said) == (2, True)

    def test_for_people(self, vault, capsys):
        """A person sees names in a table."""
        assert run(["credential", "import-kdbx", "vault.kdbx", *OPEN, "--dry-run"]) == 0
        out = capsys.readouterr().out.splitlines()
        assert out[0].split() == ["SERVER", "VARIABLES", "HEADERS"]
        assert out[2].split() == ["mail-1", "MAIL_1_PASSWORD,", "MAIL_1_USER"]


class ListTests:
    """The credentials of servers, by name."""

    CONFIG = """
servers:
  github: {command: [x], env: {TOKEN: "${GITHUB_PASSWORD}", MODE: fast-mode-word, GONE: "${NOT_THERE}"}}
  far: {url: "https://far.example/mcp", headers: {X-Key: "${GITHUB_PASSWORD}"}}
  bare: {command: [y]}
"""

    @pytest.fixture
    def home(self, vault, monkeypatch):
        """A home whose file of values was imported."""
        home = vault / "home"
        home.mkdir(mode=0o700)
        (home / "config.yaml").write_text(self.CONFIG)
        monkeypatch.setenv("HOME", str(vault))
        monkeypatch.setenv("MCPGATEWAY_HOME", str(home))
        assert run(["credential", "import-kdbx", "vault.kdbx", *OPEN, "--to-env-file", "home/.env"]) == 0
        return home

    def test_list(self, home, capsys):
        """A credential is listed with its name and the source of its value."""
        capsys.readouterr()
        code, said = told(capsys, "list")
        assert code == 0
        assert {each["name"]: each for each in said["items"]} == {
            "github": {
                "name": "github",
                "env_vars": {
                    "GONE": "NOT_THERE is not set",
                    "MODE": "written in the configuration",
                    "TOKEN": "GITHUB_PASSWORD from the file of values",
                },
                "headers": {},
            },
            "far": {
                "name": "far",
                "env_vars": {},
                "headers": {"X-Key": "GITHUB_PASSWORD from the file of values"},
            },
        }
        assert run(["credential", "list"]) == 0
        out = capsys.readouterr().out
        assert "fast-mode-word" not in out
        assert out.splitlines()[0].split() == ["SERVER", "NAME", "FROM"]

    def test_structured(self, home, capsys):
        """Names alone."""
        capsys.readouterr()
        _, said = told(capsys, "list-structured")
        assert said == {
            "version": 1,
            "servers": [
                {"name": "github", "env_vars": ["GONE", "MODE", "TOKEN"], "headers": []},
                {"name": "far", "env_vars": [], "headers": ["X-Key"]},
            ],
        }
