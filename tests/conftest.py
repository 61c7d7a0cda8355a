"""How every test is run."""

import gc
import os
import signal
from collections.abc import Generator

import pytest
from hypothesis import settings
from hypothesis.database import DirectoryBasedExampleDatabase

# No deadline: how busy the machine is must not decide a test.
database = DirectoryBasedExampleDatabase("build/hypothesis")
settings.register_profile("house", deadline=None, max_examples=25, database=database)
settings.register_profile("deep", settings.get_profile("house"), max_examples=500)  # of `make soak`
settings.load_profile("deep" if os.environ.get("MCPGATEWAY_SOAK") == "1" else "house")

# Tests that were started in the background, or by nohup, ignore these, and so would every program that they start.
for number, usual in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, usual)

# The modules and the tests are for good: nothing of them has to be looked through again and again.
gc.disable()


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Look for garbage from here on, and only in what comes now."""
    result = yield
    gc.collect()
    gc.freeze()
    gc.enable()
    return result
