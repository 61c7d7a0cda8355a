"""An event loop for descriptors, timers and signals, with poll(2)."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # the builtin half of signal, which would load enum and more
import posix
import select
from time import monotonic

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

READ, WRITE = select.POLLIN, select.POLLOUT
WAKE_BYTES = 64


class Timer:
    """A call at a later time.

    :ivar when: the time of the loop's clock.
    :ivar call: the function to call; None for a timer that was cancelled or has fired.
    """

    __slots__ = ("call", "when")

    def __init__(self, when: float, call: Callable[[], None]) -> None:
        self.when = when
        self.call: Callable[[], None] | None = call

    def cancel(self) -> None:
        """Cancel the timer."""
        self.call = None


class Loop:
    """The one event loop of a program.

    :ivar waker: a descriptor that can be read when a signal has arrived; None where no signals are handled.
    """

    def __init__(self) -> None:
        self._poll = select.poll()
        self._watched: dict[int, Callable[[int], None]] = {}
        self._timers: list[Timer] = []
        self._is_stopped = False
        self.waker: int | None = None

    now = staticmethod(monotonic)

    def watch(self, descriptor: int, events: int, ready: Callable[[int], None]) -> None:
        """Call a function when a descriptor is ready, or has failed; replaces the former watch of the descriptor."""
        self._watched[descriptor] = ready
        self._poll.register(descriptor, events)

    def forget(self, descriptor: int) -> None:
        """Stop watching a descriptor."""
        if self._watched.pop(descriptor, None) is not None:
            self._poll.unregister(descriptor)

    def later(self, delay: float, call: Callable[[], None]) -> Timer:
        """Call a function after so many seconds."""
        timer = Timer(monotonic() + delay, call)
        self._timers.append(timer)
        return timer

    def on_signals(self, numbers: tuple[int, ...], call: Callable[[int], None]) -> None:
        """Call a function from within the loop when one of these signals has arrived."""
        reader, writer = posix.pipe()
        posix.set_blocking(reader, False)
        posix.set_blocking(writer, False)
        for number in numbers:
            _signal.signal(number, _ignore)
        # The C half of Python writes the number of each signal into the pipe, also during a system call.
        _signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        self.waker = reader
        self.watch(reader, READ, lambda _: self._signalled(reader, numbers, call))

    def _signalled(self, reader: int, numbers: tuple[int, ...], call: Callable[[int], None]) -> None:
        for number in posix.read(reader, WAKE_BYTES):
            if number in numbers:
                call(number)

    def stop(self) -> None:
        """Return from `run` after the present callback."""
        self._is_stopped = True

    def run(self) -> None:
        """Run the loop until it is stopped."""
        self._is_stopped = False
        while not self._is_stopped:
            for descriptor, mask in self._poll.poll(self._patience_ms()):
                ready = self._watched.get(descriptor)
                if ready is not None and not self._is_stopped:
                    ready(mask)
            if self._timers and not self._is_stopped:
                self._ring()

    def _patience_ms(self) -> float | None:
        timers = self._timers = [each for each in self._timers if each.call is not None]
        if not timers:
            return None
        return max(0.0, (min(each.when for each in timers) - monotonic()) * 1000 + 1)

    def _ring(self) -> None:
        now = monotonic()
        for timer in [each for each in self._timers if each.when <= now]:
            call, timer.call = timer.call, None
            if call is not None and not self._is_stopped:
                call()


def _ignore(number: int, frame: object) -> None:
    """Do nothing: Python needs a handler, and the wake-up pipe reports the signal."""


def is_ready(descriptor: int, events: int) -> bool:
    """True if a descriptor is ready now."""
    one = select.poll()
    one.register(descriptor, events)
    return bool(one.poll(0))
