"""What a user defines (agents, tools, teams), what a team does next (`decide.py`), and how it prepares its steps."""
