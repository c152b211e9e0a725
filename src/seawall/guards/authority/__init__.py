"""Authority: who may do what, and what claims to be a permission and is none."""
