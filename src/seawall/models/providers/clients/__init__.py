"""The provider clients: pydantic-ai's model classes over an HTTP client that retries nothing (`http.py`).

One module a provider, each with `build(name, api_key, base_url, http)`; a module is imported when it is used,
because each client costs between half a second and more than one to import.
"""
