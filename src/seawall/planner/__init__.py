"""The planner of one run: knows latencies, estimates what the rest of the run takes, and prunes what does not fit."""
