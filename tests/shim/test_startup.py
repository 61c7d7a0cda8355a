"""The start of the gateway by the shim: when, by which process, and with which options."""

import os
import stat
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpgateway.interfaces import INSTANCE_MARKER
from mcpgateway.shim import startup
from mcpgateway.shim.startup import ENDED, TRIED, UP, StartRecord
from mcpgateway.system import instance_lock
from mcpgateway.system.logs import gateway_log

MINUTE = 60_000


@contextmanager
def lock_of(home):
    """The open file of the lock."""
    descriptor = startup.open_lock(str(home))
    try:
        yield descriptor
    finally:
        os.close(descriptor)


class NameTests:
    """The names that two programs without common code share."""

    def test_the_same_as_the_gateway(self):
        """The shim and the gateway know the lock, the variables and the words by the same names."""
        ours = (
            startup.LOCK,
            startup.WANTED,
            startup.LOCK_DESCRIPTOR,
            startup.STARTED_VARIABLE,
            startup.START,
        )
        theirs = (
            instance_lock.LOCK,
            instance_lock.WANTED,
            instance_lock.DESCRIPTOR,
            instance_lock.STARTED_VARIABLE,
            instance_lock.START,
        )
        assert ours == theirs
        assert (startup.SHIM, startup.UP, startup.ENDED) == (
            instance_lock.SHIM,
            instance_lock.UP,
            instance_lock.ENDED,
        )
        assert (startup.LOG_VARIABLE, startup.CHILD_VARIABLE) == (gateway_log.LOG_VARIABLE, INSTANCE_MARKER)
        assert f"{gateway_log.__name__}.{gateway_log.observer.__name__}" == startup.LOGGER


class RecordTests:
    """The record in the file of the lock."""

    @pytest.mark.parametrize(
        ("word", "tries", "age", "pause"),
        [
            ("", 0, 0, 0),
            (ENDED, 0, 0, 0),
            (TRIED, 1, 0, 30),
            (TRIED, 2, 0, 60),
            (TRIED, 3, 0, 120),
            (TRIED, 9, 0, 120),
            (UP, 1, 0, 0),
            (UP, 2, 0, 30),
            (UP, 3, 0, 60),
            (UP, 9, 0, 120),
            (UP, 9, 10 * MINUTE, 0),
        ],
    )
    def test_the_pause(self, word, tries, age, pause):
        """A start that failed is not repeated soon; a crash is, once, and again after ten minutes of life."""
        assert StartRecord(0, word, tries).pause_s(age) == pause

    @given(st.sampled_from([TRIED, UP, ENDED]), st.integers(0, 10**6))
    def test_written_and_read(self, word, tries):
        """A written record is read again."""
        with open(os.memfd_create("lock"), "r+b", 0) as file:
            startup.write_record(file.fileno(), word, tries)
            found = startup.read_record(file.fileno())
        assert (found.word, found.tries) == (word, tries)

    @given(st.binary(max_size=200))
    def test_nonsense(self, data):
        """The reader of a record answers for any text in the file."""
        with open(os.memfd_create("lock"), "r+b", 0) as file:
            file.write(data)
            startup.read_record(file.fileno())

    @pytest.mark.parametrize("text", ["", "12345", "x tried 1", "99999999999999999 tried 3"])
    def test_of_no_use(self, tmp_path, text):
        """A record that is malformed, or of an earlier run of the machine, keeps no shim from trying."""
        (tmp_path / startup.LOCK).write_text(text)
        with lock_of(tmp_path) as lock:
            assert startup.read_record(lock).pause_s(startup.clock()) == 0


class WantedTests:
    """The user's wish for a running or a stopped gateway."""

    @pytest.mark.parametrize("options", [[], ["--port", "1"], ["--config", "/a b/ü\n"]])
    def test_options(self, tmp_path, options):
        """The options are kept as they are, for their owner alone; a stop keeps them as the former ones."""
        home = str(tmp_path)
        assert startup.read_wanted(home) is None
        startup.write_wanted(home, options)
        assert startup.read_wanted(home) == options
        assert stat.S_IMODE((tmp_path / startup.WANTED).stat().st_mode) == 0o600
        before = startup.clock()
        startup.write_stopped(home)
        assert startup.read_wanted(home) is None
        startup.write_stopped(home)
        assert startup.read_former(home) == options
        assert before <= startup.stopped_at(home) <= startup.clock()

    @pytest.mark.parametrize("text", ["", "x", "-1", "99999999999999999"])
    def test_a_stop_that_says_nothing(self, tmp_path, text):
        """A stop that is malformed, or of an earlier run of the machine, does not count."""
        (tmp_path / startup.STOPPED).write_text(text)
        assert startup.stopped_at(str(tmp_path)) == -1


class Starter(startup.Starter):
    """Starts nothing, and counts."""

    def __init__(self, home):
        super().__init__(str(home))
        self.started = []

    def _start(self, lock, record):
        self.started.append(startup.read_wanted(self._home))
        return True


class StarterTests:
    """The process that starts the gateway."""

    def test_a_program_waits(self, tmp_path):
        """A program of a client waits after a failure; a person does not."""
        with lock_of(tmp_path) as lock:
            startup.write_record(lock, TRIED, 1)
        starter = Starter(tmp_path)
        assert starter.start() is False
        assert starter.start_wanted(["--port", "7"]) is True
        assert starter.started == [["--port", "7"]]

    def test_one_who_was_there_when_it_was_stopped(self, tmp_path):
        """A shim that was there when the gateway was stopped does not start it; a later one does."""
        before = Starter(tmp_path)
        startup.write_stopped(str(tmp_path))
        assert before.start() is False
        later = Starter(tmp_path)
        later._began_ms += 1
        assert later.start() is True

    def test_a_person_takes_a_stop_back(self, tmp_path):
        """After a start, those who were there before it was stopped may start it, too."""
        starter = Starter(tmp_path)
        startup.write_stopped(str(tmp_path))
        starter.start_wanted([])
        assert starter.start() is True

    def test_one_that_is_not_wanted_any_more(self, tmp_path):
        """A gateway that was stopped meanwhile is not started again."""
        starter = Starter(tmp_path)
        assert starter.start_wanted(None) is False
        startup.write_wanted(str(tmp_path), ["--demo"])
        assert starter.start_wanted(None) is True
        assert starter.started == [["--demo"]]

    def test_one_that_lives(self, tmp_path):
        """While somebody holds the lock, nobody starts one."""
        with lock_of(tmp_path) as lock:
            assert startup.take(lock)
            assert Starter(tmp_path).start_wanted([]) is False
            assert startup.read_wanted(str(tmp_path)) is None
