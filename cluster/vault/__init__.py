"""Data at rest: sealed values, keyed hashes, and the keys for both."""
