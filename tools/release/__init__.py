"""Releases: their version and changelog, their files, and the checksums and signature of these."""
