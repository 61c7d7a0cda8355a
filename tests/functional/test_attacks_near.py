"""Attacks of another user of the machine, and on ports that speak TLS; see ``test_attacks``."""

from __future__ import annotations

import json
import os
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest
from OpenSSL import SSL

from mcpgateway.frontends.http.routes import ROUTES
from mcpgateway.policy.access import RouteClass
from tests.support.attacking import FIXTURE, attack, call, path_of, raw
from tests.support.certificates import Authority
from tests.support.gateway import LIMIT_S, Gateway, server

pytestmark = [
    pytest.mark.functional,
    pytest.mark.skipif(
        not sys.platform.startswith("linux"), reason="only Linux tells who is at the other end"
    ),
]

NOBODY = 65534
# Tries, as another user, whatever the rights of files and processes could allow, and tells what went well. It begins in
# the directory that the home is in, so that no directory above it is in its way.
STRANGER = """
import encodings.idna, http.client, json, os, socket, sys
user, port, pids, files, paths = json.loads(sys.argv[1])
os.setgroups([]); os.setgid(user); os.setuid(user)
done = []
def attempt(what, how):
    try:
        done.append((what, repr(how())[:200]))
    except OSError:
        pass
def connect(path):
    with socket.socket(socket.AF_UNIX) as peer:
        peer.connect(path)
def put(path, mode):
    os.close(os.open(path, mode, 0o600))
for each in files:
    attempt('read ' + each, lambda: open(each, 'rb').read() if os.path.isfile(each) else os.listdir(each))
    attempt('write ' + each, lambda: put(each, os.O_WRONLY))
    attempt('make ' + each, lambda: put(each + '/new', os.O_WRONLY | os.O_CREAT))
    attempt('connect ' + each, lambda: connect(each))
    attempt('rename ' + each, lambda: os.rename(each, each + '.old'))
    attempt('remove ' + each, lambda: os.unlink(each))
    attempt('allow ' + each, lambda: os.chmod(each, 0o777))
for pid in pids:
    for name in 'environ', 'maps', 'mem', 'auxv', 'stack', 'syscall':
        attempt(f'read {name}', lambda: open(f'/proc/{pid}/{name}', 'rb').read(10))
    for name in 'cwd', 'root', 'exe', 'fd/0':
        attempt(f'follow {name}', lambda: os.readlink(f'/proc/{pid}/{name}'))
    attempt('list fd', lambda: os.listdir(f'/proc/{pid}/fd'))
    attempt('signal', lambda: os.kill(pid, 0))
statuses = {}
for method, path in paths:
    connection = http.client.HTTPConnection('127.0.0.1', port, timeout=60)
    connection.request(method, path, '{}' if method in ('POST', 'PUT', 'PATCH') else None)
    statuses[f'{method} {path}'] = connection.getresponse().status
    connection.close()
print(json.dumps([done, statuses]))
"""


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """The certificate authority that the clients trust."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[Gateway]:
    """A gateway whose port speaks HTTP and TLS."""
    pair = authority.issue("localhost")
    directory = tmp_path_factory.mktemp("attacked")
    settings = {"tls_cert_path": pair, "tls_key_path": pair}
    with Gateway(directory, {"fix": server(FIXTURE)}, settings=settings) as running:
        yield running


@pytest.fixture(autouse=True)
def still_serving(gateway: Gateway) -> Iterator[None]:
    """After every attack the gateway serves others, and its log has no traceback."""
    assert call(gateway, "echo", {"text": "before it"}) == "before it"
    yield
    assert call(gateway, "echo", {"text": "after it"}) == "after it"
    assert "Traceback" not in gateway.log


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
class OtherUserTests:
    """Another user of the same machine."""

    @attack("CWE-276, CWE-732", "another user of this machine, with all that his rights allow")
    def test_everything(self, gateway: Gateway) -> None:
        """No file of the home, no process, and none of the doors is open to him."""
        gateway.directory.chmod(0o755)
        files = [str(each.relative_to(gateway.directory)) for each in _all_of(gateway.home)]
        assert {"home/auth.token", "home/sessions/key", "home/gateway.sock"} <= set(files)
        paths = sorted(
            {(each.method, path_of(each)) for each in ROUTES if each.access is not RouteClass.PUBLIC}
        )
        asked = json.dumps([NOBODY, gateway.port, [gateway.pid, *gateway.children()], files, paths])
        ran = subprocess.run(
            [sys.executable, "-I", "-S", "-c", STRANGER, asked],
            cwd=gateway.directory,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
        assert ran.returncode == 0, ran.stderr
        done, statuses = json.loads(ran.stdout)
        assert done == []
        assert {each: status for each, status in statuses.items() if status != 403} == {}


def _all_of(directory: Path) -> list[Path]:
    return [directory, *directory.rglob("*")]


def _tls(gateway: Gateway, context: ssl.SSLContext, name: str = "localhost") -> ssl.SSLSocket:
    peer = socket.create_connection(("127.0.0.1", gateway.port), LIMIT_S)
    try:
        return context.wrap_socket(peer, server_hostname=name)
    except OSError:
        peer.close()
        raise


def _hello() -> bytes:
    context, said = ssl.create_default_context(), ssl.MemoryBIO()
    with suppress(ssl.SSLWantReadError):
        context.wrap_bio(ssl.MemoryBIO(), said, server_hostname="localhost").do_handshake()
    return said.read()


HELLO = _hello()
GET = b"GET /health HTTP/1.1\r\nHost: %b\r\nConnection: close\r\n\r\n"


class TlsTests:
    """A port that speaks TLS."""

    @attack("CWE-20", "bytes that begin like a handshake and are none, or too much of one")
    @pytest.mark.parametrize(
        "data",
        [
            b"\x16" + bytes(range(256)) * 3,
            b"\x16\x03\x01\xff\xff" + b"a" * 70_000,
            HELLO + GET % b"localhost",
            HELLO + HELLO,
            b"\x15\x03\x01\x00\x02\x02\x28",
            b"\x80\x2e\x01\x03\x00" + b"a" * 60,
        ],
        ids=["garbage", "a giant record", "a request behind it", "two of them", "an alert", "SSL 2"],
    )
    def test_no_handshake(self, gateway: Gateway, data: bytes) -> None:
        """The connection ends, and nothing of it was taken for a request."""
        assert b" 200 OK" not in raw(gateway, data)

    @attack(
        "CVE-2014-3566, CVE-2011-3389, CVE-2015-0204",
        "old revisions of TLS, and ciphers that protect nothing",
    )
    @pytest.mark.parametrize(
        ("version", "ciphers"),
        [
            (ssl.TLSVersion.TLSv1, "ALL"),
            (ssl.TLSVersion.TLSv1_1, "ALL"),
            (ssl.TLSVersion.TLSv1_2, "eNULL"),
            (ssl.TLSVersion.TLSv1_2, "AES128-SHA"),
        ],
    )
    @pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
    def test_weak(self, gateway: Gateway, version: ssl.TLSVersion, ciphers: str) -> None:
        """A weak version or cipher is not spoken."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.set_ciphers(f"{ciphers}:@SECLEVEL=0")
        context.minimum_version = context.maximum_version = version
        with pytest.raises(ssl.SSLError, match="alert"):
            _tls(gateway, context).close()

    @attack("CVE-2009-3555, CVE-2011-1473", "a client that renegotiates")
    def test_renegotiation(self, gateway: Gateway) -> None:
        """A renegotiation is refused."""
        with closing(socket.create_connection(("127.0.0.1", gateway.port), LIMIT_S)) as peer:
            peer.setblocking(True)
            connection = SSL.Connection(SSL.Context(SSL.TLSv1_2_METHOD), peer)
            connection.set_connect_state()
            connection.do_handshake()
            assert connection.renegotiate()
            with pytest.raises(SSL.Error, match="no renegotiation"):
                connection.do_handshake()

    @attack("CWE-346", "a name in the handshake that is another than the one that is asked for")
    def test_another_name(self, gateway: Gateway, authority: Authority) -> None:
        """The name of the handshake opens nothing, and that of the request is judged as ever."""
        context = ssl.create_default_context(cafile=authority.file)
        with pytest.raises(ssl.SSLCertVerificationError):
            _tls(gateway, context, "evil.example").close()
        context.check_hostname = False
        for host, status in ((b"localhost", b" 200 "), (b"evil.example", b" 403 ")):
            with _tls(gateway, context, "evil.example") as peer:
                peer.sendall(GET % host)
                assert status in peer.recv(65_536)
