"""Models: the protocol (`protocol.py`), one that follows a script (`scripted.py`), real ones (`providers/`)."""
