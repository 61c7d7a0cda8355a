"""How every test is run."""

import signal

from hypothesis import settings
from hypothesis.database import DirectoryBasedExampleDatabase

# No deadline: how busy the machine is must not decide a test.
settings.register_profile("house", deadline=None, database=DirectoryBasedExampleDatabase("build/hypothesis"))
settings.load_profile("house")

# Where the tests were started in the background SIGINT is ignored, and every program that they start would ignore it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
