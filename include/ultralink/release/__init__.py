"""Releases: partitions of all languages made into one immutable, versioned dataset."""
