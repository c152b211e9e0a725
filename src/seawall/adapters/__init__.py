"""Adapters: the gate around the loops of other frameworks. Each is a module of its own, and imports its framework alone.

- `langchain`: `SeawallMiddleware` for `create_agent` of LangChain, and for deep agents built on it
"""
