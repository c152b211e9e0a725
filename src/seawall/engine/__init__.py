"""The engine of one run: the gate, and the driver that sends each step through it, records it and performs it."""
