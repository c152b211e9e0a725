"""Runs with memory: what agents remember and recall, what is merged, and what becomes of it when memory changes.

It is a package with a name of its own because `bench/memory.py` has the same one.
"""
