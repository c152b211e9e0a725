"""Memory as agents have it: what they may read and write, the tools for it, and the guard over what was reverted.

- `options.py`: `Memory`, what an agent or a team is given
- `access.py`: the scopes that one agent reads and writes, and the tools that it is offered for them
- `calls.py`: a call of these tools, validated
- `index.py`: the protocol of an index that finds entries by what they mean
- `sameness.py`: which values say the same
- `cuts.py`: what was reverted of what a run has read
- `guard.py`: the guard `memory`, which holds effects of a run that read what was reverted
"""
