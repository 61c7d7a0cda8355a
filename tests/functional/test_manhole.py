"""The prompt inside of a running gateway: at its socket with our own command, over SSH with a real client."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import shutil
import socket
import stat
import subprocess
import termios
from pathlib import Path

import pytest

from tests.support import forkserver
from tests.support.gateway import BIN, LIMIT_S, Gateway, eventually, server
from tests.support.ports import free_port
from tests.support.real_servers import fixture

pytestmark = pytest.mark.functional
PROMPT = r">>> "


def dug(directory: Path, **manhole):
    """A gateway whose configuration says this of its manhole."""
    gateway = Gateway(directory, {"a": server(fixture())})
    change(gateway, **manhole)
    return gateway


def change(gateway, **manhole):
    """Let its configuration say so."""
    gateway.config.write_text(json.dumps({**json.loads(gateway.config.read_text()), "manhole": manhole}))


def typed(gateway, lines, *options):
    """The output of our command when it is given lines: the answers of the prompt, echo and all."""
    argv = [BIN / "mcpgateway", "--home", gateway.home, "manhole", *options]
    ran = forkserver.ran(argv, given=lines, has_ended=False)
    return ran.returncode, ran.stdout, ran.stderr


class SocketTests:
    def test_names(self, tmp_path):
        """The prompt knows the gateway, its pool, its sessions and its configuration, and output comes back."""
        with dug(tmp_path, socket=True) as gateway:
            path = gateway.home / "manhole.sock"
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            names = "type(gateway).__name__, type(pool).__name__"
            lines = f"{names}, len(sessions), [each.name for each in config.servers]\n1/0\nprint(6 * 7)\n"
            code, out, _ = typed(gateway, lines)
            assert code == 0
            assert "There are: config, gateway, pool, sessions. Ctrl-D leaves.\n" in out
            assert f">>> {lines.splitlines()[0]}\n('GatewayService', 'Pool', 0, ['a'])\n>>> 1/0\n" in out
            assert "ZeroDivisionError" in out
            assert "\n42\n" in out
            assert "\x1b" not in out
            assert gateway.health()["status"] == "ok"
            eventually(
                lambda: "manhole.left" in gateway.log or "has left the manhole" in gateway.log, "it is told"
            )
        assert not path.exists()

    def test_terminal(self, tmp_path):
        """On a terminal every key goes to the prompt, and the terminal is as it was when one leaves."""
        with dug(tmp_path, socket=True) as gateway:
            ours, theirs = pty.openpty()
            before = termios.tcgetattr(theirs)
            argv = [str(BIN / "mcpgateway"), "--home", str(gateway.home), "manhole"]
            with subprocess.Popen(argv, stdin=theirs, stdout=theirs, stderr=theirs) as program:
                _read(ours, b">>> ")
                os.write(ours, b"x = 6\rprint(x * 7)\x7f\x7f7)\r")
                seen = _read(ours, b"\n42\r")
                assert b"\x1b" in seen
                os.write(ours, b"\x04")
                assert program.wait(LIMIT_S) == 0
            assert termios.tcgetattr(theirs) == before
            os.close(ours)
            os.close(theirs)

    def test_exit(self, tmp_path):
        """A user who types exit() leaves the prompt, and the gateway runs on."""
        with dug(tmp_path, socket=True) as gateway:
            assert typed(gateway, "exit()\nprint('never')\n")[0] == 0
            assert gateway.health()["status"] == "ok"
            assert "SystemExit" not in gateway.log

    def test_too_many(self, tmp_path):
        """A few may be there at once, and the next is sent away until one leaves."""
        with dug(tmp_path, socket=True) as gateway:
            lines = []
            for _ in range(4):
                lines.append(socket.socket(socket.AF_UNIX))
                lines[-1].connect(str(gateway.home / "manhole.sock"))
                assert lines[-1].recv(1)
            with socket.socket(socket.AF_UNIX) as fifth:
                fifth.connect(str(gateway.home / "manhole.sock"))
                assert fifth.recv(1) == b""
            for each in lines:
                each.close()
            eventually(lambda: "\n2\n" in typed(gateway, "print(1+1)\n")[1], "there is room again")

    def test_off(self, tmp_path):
        """The manhole is not there unless it is asked for: nothing of it is loaded, and our command says what to do."""
        with dug(tmp_path) as gateway:
            assert not (gateway.home / "manhole.sock").exists()
            maps = Path(f"/proc/{gateway.pid}/maps")
            if maps.exists():
                assert "cryptography" not in maps.read_text()
            code, _, err = typed(gateway, "1\n")
            assert (code, "there is no manhole at" in err, "manhole: {socket: true}" in err) == (
                2,
                True,
                True,
            )

    def test_opened_and_closed(self, tmp_path):
        """The manhole is opened and closed as the file says, also where a user is in it."""
        with dug(tmp_path) as gateway:
            path = tmp_path / "inside"
            change(gateway, socket=str(path))
            eventually(path.exists, "it is opened")
            with socket.socket(socket.AF_UNIX) as line:
                line.connect(str(path))
                assert line.recv(1)
                assert "\n2\n" in typed(gateway, "print(1+1)\n", "--socket", str(path))[1]
                change(gateway)
                line.settimeout(LIMIT_S)
                eventually(lambda: _is_over(line), "whoever is there is sent away")
            eventually(lambda: not path.exists(), "it is closed")

    def test_after_a_kill(self, tmp_path):
        """The socket of a killed gateway is no obstacle; a file that is no socket is left alone, and that is told."""
        gateway = dug(tmp_path, socket=True)
        with gateway:
            gateway.kill()
            assert (gateway.home / "manhole.sock").exists()
            gateway.start()
            assert "\n2\n" in typed(gateway, "print(1+1)\n")[1]
            (tmp_path / "file").write_text("mine")
            change(gateway, socket=str(tmp_path / "file"))
            eventually(lambda: "the manhole cannot be opened" in gateway.log, "it is told")
            assert (tmp_path / "file").read_text() == "mine"
            assert gateway.health()["status"] == "ok"


def _read(terminal, until):
    """The bytes that a terminal shows, up to some text."""
    seen = b""
    while until not in seen:
        assert select.select([terminal], (), (), LIMIT_S)[0], seen
        seen += os.read(terminal, 4096)
    return seen


def _is_over(line):
    """Return whether the other end has gone."""
    try:
        return line.recv(4096) == b""
    except ConnectionResetError:
        return True


@pytest.mark.skipif(not (shutil.which("ssh") and shutil.which("ssh-keygen")), reason="there is no ssh here")
class SshTests:
    """With the client that everybody has."""

    @pytest.fixture
    def keys(self, tmp_path):
        """Two keys, of which the first is let in."""
        for name in ("mine", "strange"):
            argv = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / name)]
            subprocess.run(argv, check=True, timeout=LIMIT_S)
        allowed = tmp_path / "authorized_keys"
        allowed.write_text("# those who may\n" + (tmp_path / "mine.pub").read_text())
        allowed.chmod(0o600)
        return tmp_path

    @pytest.fixture
    def gateway(self, keys):
        """A gateway with a manhole over SSH."""
        with dug(keys, ssh_port=free_port(), authorized_keys=str(keys / "authorized_keys")) as gateway:
            eventually(lambda: "(SSH)" in gateway.log, "it is open")
            yield gateway

    def ssh(self, gateway, key, lines="", *words):
        """Run the client."""
        port = json.loads(gateway.config.read_text())["manhole"]["ssh_port"]
        known = gateway.directory / "known_hosts"
        options = (
            "StrictHostKeyChecking=accept-new",
            f"UserKnownHostsFile={known}",
            "IdentitiesOnly=yes",
            "BatchMode=yes",
        )
        argv = [
            "ssh",
            "-F",
            "none",
            "-p",
            str(port),
            "-i",
            str(gateway.directory / key),
            *(f"-o{each}" for each in options),
            "anybody@127.0.0.1",
            *words,
        ]
        ran = subprocess.run(argv, input=lines.encode(), capture_output=True, timeout=LIMIT_S, check=False)
        return ran.returncode, ran.stdout.decode(), ran.stderr.decode()

    def test_in(self, gateway):
        """A user with a key that is let in gets the prompt; the host key is made once, for its owner alone."""
        _, out, err = self.ssh(gateway, "mine", "print(6 * 7)\n[each.name for each in config.servers]\n")
        assert re.search(r"\b42\b", out), err
        assert "'a'" in re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", out)
        key = gateway.home / "manhole" / "host_key"
        assert stat.S_IMODE(key.stat().st_mode) == 0o600
        before = key.read_bytes()
        gateway.stop()
        gateway.start()
        assert (
            "42" in self.ssh(gateway, "mine", "print(6 * 7)\n")[1]
        )  # the client would refuse another host key
        assert key.read_bytes() == before
        assert "Traceback" not in gateway.log

    def test_refused(self, gateway):
        """A key that is not let in is refused, and so are commands, subsystems and forwarding."""
        code, out, err = self.ssh(gateway, "strange", "print(6 * 7)\n")
        assert (code, out, "Permission denied (publickey)" in err) == (255, "", True)
        code, out, _ = self.ssh(gateway, "mine", "", "print(6 * 7)")
        assert (code != 0, out) == (True, "")
        code, out, _ = self.ssh(gateway, "mine", "", "-s", "sftp")
        assert (code != 0, out) == (True, "")
        assert gateway.health()["status"] == "ok"
        assert "Traceback" not in gateway.log

    def test_writable(self, gateway):
        """A file of keys that others may write lets nobody in."""
        os.chmod(gateway.directory / "authorized_keys", 0o666)
        code, _, err = self.ssh(gateway, "mine", "print(6 * 7)\n")
        assert (code, "Permission denied (publickey)" in err) == (255, True)
        assert "others than its owner may write to it" in gateway.log

    def test_not_installed(self, tmp_path):
        """Without the library the gateway goes on, and says how to install it; the socket needs none."""
        (tmp_path / "bcrypt.py").write_text("raise ImportError")
        manhole = {"socket": True, "ssh_port": free_port(), "authorized_keys": "/none"}
        gateway = Gateway(tmp_path, {}, environ={"PYTHONPATH": str(tmp_path)})
        change(gateway, **manhole)
        with gateway:
            assert "pip install 'mcpgateway[manhole]'" in gateway.log
            assert "\n2\n" in typed(gateway, "print(1+1)\n")[1]

    def test_loopback(self, gateway):
        """The manhole does not listen elsewhere than on loopback."""
        port = json.loads(gateway.config.read_text())["manhole"]["ssh_port"]
        listening = Path("/proc/net/tcp")
        if not listening.exists():
            pytest.skip("only Linux tells who listens where")
        rows = [each.split() for each in listening.read_text().splitlines()[1:]]
        assert [each[1] for each in rows if each[1].endswith(f":{port:04X}") and each[3] == "0A"] == [
            f"0100007F:{port:04X}"
        ]
        assert f":{port:04X} " not in Path("/proc/net/tcp6").read_text()
