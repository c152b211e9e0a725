"""What the adapters of LangChain and LangGraph share. It needs LangGraph and `langchain-core`, which LangGraph brings.

- `places.py`: where something happens, and how a step passes the gate there
- `tools.py`: a call of LangGraph's `ToolNode`
- `messages.py`: LangChain's messages, tools and commands, read and made again
"""
