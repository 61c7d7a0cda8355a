"""The bridge between the eras: a request of one era at a server of the other."""
