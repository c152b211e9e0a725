"""The planner of one run: what is known of latencies, what the rest of a run takes, and what is pruned for it."""
