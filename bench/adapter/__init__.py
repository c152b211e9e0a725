"""What `bench/adapters.py` measures: one agent of each framework, as it is and behind Seawall's gate."""
