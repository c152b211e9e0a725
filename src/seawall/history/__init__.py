"""Recorded runs: the record that people read, the explanation of an end, replay and fork."""
