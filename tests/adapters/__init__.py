"""What changes the world is done once, and signed off: tests with a bank, workers and people in processes of their own.

It is a package with a name of its own because `bench/effects.py`, which uses what is here, has the same one.
"""
