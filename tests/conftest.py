"""How every test is run."""

from hypothesis import settings
from hypothesis.database import DirectoryBasedExampleDatabase

# No deadline: how busy the machine is must not decide a test.
settings.register_profile("house", deadline=None, database=DirectoryBasedExampleDatabase("build/hypothesis"))
settings.load_profile("house")
