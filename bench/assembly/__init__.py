"""The parts of `bench/context.py`."""
