"""Effects and approvals: what `bench/effects.py` measures. The bank, the desk and the processes are those of the tests."""
