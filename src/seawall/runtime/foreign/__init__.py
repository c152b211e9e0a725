"""Runs whose steps a framework's own loop asks for: the same gate, guards, limits, record and approvals.

- `engine.py`: `Engine`, for sync and async callers on any event loop: a thread with an event loop and a `Seawall`
- `session.py`: `Session`, one run as an adapter uses it; `loop_side.py`: the same on the engine's event loop
- `asked.py`: how a run begins, and what may be asked for; `parked.py`: a run that waits for people may be ended elsewhere
- `asks.py`: what is asked for and not answered; the logic, the executor and the watcher of the driver meet the loop there
- `logic.py`: `Logic` and `Executor` of such runs; `team.py`: what stands for the framework's team
- `finding.py`: what makes a step the same after a crash; `recorded.py`: what is recorded of the run; `standing.py`: what the loop
  was told of that, and whether it goes on from there; the meaning of a model's request, and its record: `seawall.run.requests`
"""
