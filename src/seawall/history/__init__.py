"""Recorded runs: the record that people read, the explanation of a run's end, replay and fork."""
