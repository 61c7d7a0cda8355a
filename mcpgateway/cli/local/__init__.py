"""Programs that work on the files of this machine, rather than ask a gateway that runs."""
