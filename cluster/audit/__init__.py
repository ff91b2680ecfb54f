"""The audit log: who did what, on what, when, from where, and how it ended; in one chain of hashes."""
