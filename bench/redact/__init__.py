"""Secrets and texts without any, drawn from a seed."""
