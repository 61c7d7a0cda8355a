"""Search by meaning: a program of its own that computes vectors of sentences, and its parts."""
