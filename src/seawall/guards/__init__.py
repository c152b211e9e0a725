"""Policies at the gate: one file a guard, each a pure fold over the run's events."""
