"""Code that the adapters of LangChain and LangGraph share. It needs LangGraph and `langchain-core`, which LangGraph brings.

- `places.py`: the place in a run where a step is made, and how the step passes the gate there
- `tools.py`: calls of LangGraph's `ToolNode`
- `messages.py`: how LangChain's messages, tools and commands are recorded and restored
"""
