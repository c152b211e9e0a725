"""The append-only record of every run: the protocol, and its implementations."""
