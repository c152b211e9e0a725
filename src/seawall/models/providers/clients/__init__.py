"""The provider clients: pydantic-ai's model classes over an HTTP client that retries nothing (`http.py`).

One module for each protocol, each with `build(name, api_key, base_url, http)`. A module is imported when it is first
used, because importing a client takes between half a second and more than one.
"""
