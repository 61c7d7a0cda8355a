"""Files that change under a gateway that runs."""

import os
import time

import pytest
from twisted.internet.task import Clock

from mcpgateway.system.watch import (
    DEBOUNCE_S,
    DIRECTORIES_LIMIT,
    PATHS_LIMIT,
    PATIENCE_S,
    PAUSE_S,
    QUICK_S,
    FileWatch,
    no_notifier,
    stamp,
)

LONG_AGO = 10**18


class MemoryNotifier:
    """Tells of what the test says.

    :ivar begun: the directories that were watched, each time.
    :ivar ended: how often that was ended.
    """

    def __init__(self):
        self.begun = []
        self.ended = 0
        self.happened = None
        self.refuses = False

    def __call__(self, directories, happened):
        if self.refuses:
            raise OSError("there are too many")
        self.begun.append(directories)
        self.happened = happened
        return self._end

    def _end(self):
        self.ended += 1


class World:
    """A watch, its clock, and its reports."""

    def __init__(self, notifier=no_notifier):
        self.clock = Clock()
        self.told = 0
        self.watch = FileWatch(self.clock, notifier, self._changed)

    def _changed(self):
        self.told += 1

    def follow(self, *paths, since=None):
        """Watch files that were read just now."""
        self.watch.follow(map(str, paths), time.time_ns() + LONG_AGO if since is None else since)

    def pass_by(self, seconds):
        """Let time pass, a look a second."""
        for _ in range(seconds):
            self.watch.tick()
            self.clock.pump([0.25] * 4)


@pytest.fixture
def path(tmp_path):
    """A file."""
    path = tmp_path / "config.yaml"
    path.write_text("a")
    return path


def renamed(path, text):
    """Save by putting another file in the place."""
    other = path.with_name("other")
    other.write_text(text)
    other.replace(path)


class WatchTests:
    """The reported changes, and their number."""

    @pytest.mark.parametrize(
        "happens",
        [
            lambda path: path.write_text("longer"),
            lambda path: renamed(path, "b"),
            lambda path: path.unlink(),
            lambda path: os.utime(path, (1, 1)),
            lambda path: path.chmod(0o600),
            lambda path: path.with_name("local.yaml").write_text(""),
            lambda path: path.with_name("d").mkdir(),
        ],
    )
    def test_something_happens(self, path, happens):
        """A file that changes, comes, goes or becomes readable is told of once."""
        world = World()
        path.chmod(0o644)
        world.follow(path, path.with_name("local.yaml"), path.with_name("d"))
        world.pass_by(3)
        assert world.told == 0
        happens(path)
        world.pass_by(5)
        assert world.told == 1
        assert len(world.watch.changes()) == 1
        world.pass_by(5)
        assert world.told == 1

    def test_a_directory(self, tmp_path):
        """A directory changes with the names in it, except for hidden files, and with nothing else."""
        world = World()
        (tmp_path / "a").write_text("")
        world.follow(tmp_path)
        (tmp_path / ".a.swp").write_text("")
        (tmp_path / "a").write_text("more")
        world.pass_by(5)
        assert world.told == 0
        (tmp_path / "b").write_text("")
        world.pass_by(5)
        assert world.told == 1

    def test_a_link(self, path):
        """The target of a symbolic link counts, and the link itself."""
        link, other = path.with_name("link"), path.with_name("other.yaml")
        link.symlink_to(path)
        other.write_text("c")
        world = World()
        world.follow(link)
        path.write_text("longer")
        world.pass_by(3)
        assert world.told == 1
        world.watch.changes()
        link.unlink()
        link.symlink_to(other)
        world.pass_by(3)
        assert world.told == 2

    def test_a_burst(self, path):
        """A burst of changes is reported once it is quiet, and within a limit."""
        world = World()
        world.follow(path)
        began = world.clock.seconds()
        for number in range(1000):
            if world.told:
                break
            path.write_text("x" * (number + 2))
            assert world.watch.is_due()
            world.clock.advance(DEBOUNCE_S / 2)
        assert PATIENCE_S <= world.clock.seconds() - began < PATIENCE_S + DEBOUNCE_S

    def test_a_quick_one(self, path):
        """A change of a file that may be read half-written is told sooner, unless others change with it."""
        world = World()
        other = path.with_name("other.yaml")
        since = time.time_ns() + LONG_AGO
        world.watch.follow([str(path), str(other)], since, [str(path)])
        path.write_text("longer")
        assert world.watch.is_due()
        world.clock.advance(QUICK_S)
        assert world.told == 1
        world.watch.changes()
        path.write_text("longer still")
        assert world.watch.is_due()
        other.write_text("too")
        assert world.watch.is_due()
        world.clock.advance(QUICK_S)
        assert world.told == 1
        world.clock.advance(DEBOUNCE_S)
        assert world.told == 2

    def test_it_is_asked_first(self, path):
        """A change that was asked for is not reported any more."""
        world = World()
        world.follow(path)
        path.write_text("longer")
        assert world.watch.is_due()
        assert world.watch.changes() == {str(path)}
        assert world.watch.changes() == set()
        world.pass_by(5)
        assert world.told == 0

    def test_while_it_was_read(self, path):
        """A change between the reading and the watching is not missed; one from before is none."""
        world = World()
        world.follow(path, since=0)
        world.pass_by(2)
        assert world.told == 1
        calm = World()
        calm.follow(path)
        calm.pass_by(2)
        assert calm.told == 0

    def test_others_are_followed(self, path):
        """A file that is not watched any more is not reported, and the others go on from where they were."""
        world = World()
        other = path.with_name("other")
        world.follow(path, other)
        path.write_text("longer")
        world.follow(path)
        other.write_text("")
        world.pass_by(2)
        assert world.told == 1
        assert world.watch.changes() == {str(path)}

    def test_too_many(self, tmp_path):
        """The number of watched files is limited."""
        world = World()
        paths = [tmp_path / str(number) for number in range(PATHS_LIMIT + 1)]
        world.follow(*paths)
        paths[-1].write_text("")
        world.pass_by(2)
        assert world.told == 0
        paths[0].write_text("")
        world.pass_by(2)
        assert world.told == 1

    def test_it_ends(self, path):
        """A watch that was closed reports nothing."""
        notifier = MemoryNotifier()
        world = World(notifier)
        world.follow(path)
        path.write_text("longer")
        world.watch.tick()
        notifier.happened()
        world.watch.close()
        notifier.happened()
        world.pass_by(5)
        assert world.told == 0
        assert notifier.ended == 1
        assert world.clock.getDelayedCalls() == []
        assert not world.watch.is_due()


class NotifierTests:
    """Events hasten the look."""

    def test_an_event(self, path):
        """An event has the files looked at soon, however many there are, and means nothing by itself."""
        notifier = MemoryNotifier()
        world = World(notifier)
        world.follow(path)
        assert notifier.begun == [[str(path.parent)]]
        notifier.happened()
        world.clock.pump([0.1] * 20)
        assert world.told == 0
        path.write_text("longer")
        for _ in range(100):
            notifier.happened()
        assert len(world.clock.getDelayedCalls()) == 1
        world.clock.advance(PAUSE_S)
        world.clock.advance(DEBOUNCE_S)
        assert world.told == 1

    def test_where_a_link_leads(self, path):
        """The directory that a link leads into is watched too."""
        notifier = MemoryNotifier()
        world = World(notifier)
        inner = path.parent / "inner"
        inner.mkdir()
        (inner / "real").write_text("")
        link = path.with_name("link")
        link.symlink_to(inner / "real")
        world.follow(link)
        assert notifier.begun == [[str(path.parent), str(inner)]]

    def test_a_directory_that_comes(self, path):
        """A directory is watched as soon as it is there, and anew when another has taken its place."""
        notifier = MemoryNotifier()
        world = World(notifier)
        inner = path.parent / "inner"
        world.follow(inner / "a")
        assert notifier.begun == [[]]
        inner.mkdir()
        world.watch.tick()
        assert notifier.begun[1:] == [[str(inner)]]
        inner.rename(path.parent / "away")
        inner.mkdir()
        world.watch.tick()
        assert notifier.begun[2:] == [[str(inner)]]
        assert notifier.ended == 2

    def test_nothing_can_be_watched(self, path):
        """Where there are no events, the look of each second does."""
        notifier = MemoryNotifier()
        notifier.refuses = True
        world = World(notifier)
        world.follow(path)
        path.write_text("longer")
        world.pass_by(2)
        assert world.told == 1

    def test_too_many_directories(self, tmp_path):
        """The number of watched directories is limited."""
        notifier = MemoryNotifier()
        world = World(notifier)
        for number in range(DIRECTORIES_LIMIT + 1):
            (tmp_path / str(number)).mkdir()
        world.follow(*(tmp_path / str(number) / "a" for number in range(DIRECTORIES_LIMIT + 1)))
        assert len(notifier.begun[0]) == DIRECTORIES_LIMIT


class StampTests:
    """The stamp of a file."""

    def test_no_file(self, tmp_path):
        """A file that is missing, or cannot exist, has no stamp."""
        assert stamp(str(tmp_path / "no")) is None
        assert stamp("a\0b") is None

    def test_the_same(self, path):
        """A file that nothing has happened to looks the same."""
        assert stamp(str(path)) == stamp(str(path))
