"""The state that one program of the gateway hands over to the next: what is written is read, and nothing else."""

import os

import pytest

from mcpgateway.inherited import InheritedChild
from mcpgateway.system.process.handover import IS_POSSIBLE, VARIABLE, Handover, received

pytestmark = pytest.mark.skipif(not IS_POSSIBLE, reason="this system has no sealed memory")


@pytest.fixture
def handover():
    """The state of a gateway with one server, whose stderr is closed."""
    pipe = os.pipe()
    child = InheritedChild(7, 70, "s", "M=1", (*pipe, -1), b'{"half":', b'{"id":1}\n', (b"last",))
    yield Handover("i", 3, (8, pipe[0]), (child,), b"\x00hub")
    for each in pipe:
        os.close(each)


class HandoverTests:
    """The record in memory."""

    def test_there_and_back(self, handover):
        """The next program reads what the former has written, once."""
        environ = {VARIABLE: str(handover.write())}
        assert received(environ) == handover
        assert environ == {}
        assert received(environ) is None

    def test_sealed(self, handover):
        """Nobody can change the file, not even the program that has written it."""
        file = handover.write()
        for change in (lambda: os.pwrite(file, b"x", 0), lambda: os.ftruncate(file, 0)):
            with pytest.raises(PermissionError):
                change()
        os.close(file)

    def test_inherited_by_one(self, handover):
        """Programs that are started meanwhile inherit neither the file nor a pipe."""
        file = handover.write()
        assert not os.get_inheritable(file)
        received({VARIABLE: str(file)})
        assert not any(map(os.get_inheritable, handover.descriptors()))

    @pytest.mark.parametrize("content", [b"", b"\x93", b"\xc1", b"{}"])
    def test_unreadable(self, content):
        """Anything else is no state, and the gateway starts as ever."""
        file = os.memfd_create("other")
        copy = os.fdopen(os.dup(file), "wb")
        with copy:
            copy.write(content)
        assert received({VARIABLE: str(file)}) is None

    @pytest.mark.parametrize("word", ["", "x", "-1", "2", "99999"])
    def test_no_file(self, word):
        """A variable that names no file is no state."""
        assert received({VARIABLE: word}) is None
