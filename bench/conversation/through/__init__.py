"""The recorded conversations through frameworks, plain and with Seawall's adapter.

sent            what a framework sends to the model's server, kept byte by byte; the server; and how both are compared
langchain       `create_agent`, with `SeawallMiddleware`
langgraph       the same agent, as a graph with `gate_model` and `gate_graph`, and no middleware
openai_agents   the runner of the OpenAI Agents SDK, and `SeawallRunner`
pydantic_ai     `Agent`, with `SeawallCapability`
play            all conversations through one framework, plain and then gated
report          table and JSON

A framework's module has `make(place, script, world, engine)`, which returns a function that says one user message and
returns the answer with the text that was streamed; and `PACKAGES`, whose versions are reported.
"""
