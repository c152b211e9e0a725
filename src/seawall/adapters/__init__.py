"""Adapters: what other systems offer, or run, behind the gate. Each one is imported by its own name, and needs its own extra."""
