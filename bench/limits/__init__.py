"""Limits, side by side: what `bench/limits_peers.py` is made of.

asked      what a cell is told and what it reports, as JSON between two processes
cases      the cases: what the scripted model says, what the tools return, what is expected
recorded   good runs of a recording, as cases
world      the model server and the tools: the only place where calls and money are counted
child      a system in its own process, with one module each in `systems`
cell       the children, from the driver's side
report     the tables and the JSON

`asked`, `child` and `systems` import nothing of Seawall or of each other's frameworks: CrewAI has an environment
of its own.
"""
