"""One run: its state as a fold, the gate that every step passes, and the shell that performs."""
