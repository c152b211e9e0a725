"""What a user defines (agents, tools, teams), how it decides, and the runtime that runs it."""
