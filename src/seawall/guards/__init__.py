"""Guards: the policies at the gate, each in a file or folder of its own.

Guards of one run, pure folds over the run's events (`seawall.run.guard.Guard`):

- `loops/`: an agent that learns nothing new
- `context.py`: an agent whose context is mostly junk
- `authority/`: who may do what, and texts that claim to allow it
- `waste/`: a team in which agents repeat each other's work, or rewrite a text again and again

Bounds of one run:

- `limits.py`: what the run's ledger allows (`Limits`)
- `deadline.py`: the run's active seconds

Guards across runs, behind one protocol (`SharedGuard`):

- `shared.py`: the protocol, and `Defer`
- `pauses.py`: what people have paused
- `endpoints/`: breakers, retry tokens and bounded queues of tools and models
- `budget/`: caps on what tenants and days may spend
"""
