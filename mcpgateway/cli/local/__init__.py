"""Programs that work on the files of this machine, without a running gateway."""
