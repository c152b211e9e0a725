"""The runtime: `Seawall`, and everything that it starts, drives, wakes and ends."""
