"""The agents' memory: what they may read and write, the tools for it, and the guard against reverted entries.

- `options.py`: `Memory`, the options of an agent's or a team's memory
- `access.py`: the scopes that one agent reads and writes, and the tools that it is offered for them
- `calls.py`: validates a call of these tools
- `index.py`: the protocol of an index that finds entries by their meaning
- `sameness.py`: decides which values are the same
- `cuts.py`: finds entries that a run has read and that were reverted since
- `guard.py`: the guard `memory`, which holds effects of a run that read what was reverted
"""
