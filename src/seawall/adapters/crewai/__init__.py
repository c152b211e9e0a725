"""CrewAI: a context in which every model and every tool of a crew passes the gate.

    sea = seawall.Engine("desk.db", effects=["refund"])
    with crewai.gate(sea, request_id="ticket-17"):
        crew.kickoff()

- `gating.py`: `gate`, the context, and how a run ends
- `place.py`: one run, the place in it that a call comes from, and the exceptions that end a crew
- `frames.py`: crews, and agents at work: each task is a frame
- `models.py`, `tools.py`: wrappers around the calls; `metering.py`: the tokens of a call; `replies.py`: how replies and
  values are recorded and restored
- `install.py`: wraps CrewAI's classes
"""

from __future__ import annotations

from seawall.adapters.versions import check_version

check_version("crewai", lowest="1.15", below="1.16", extra="crewai")

from seawall.adapters.crewai.gating import CrewGate, gate
from seawall.adapters.crewai.install import install
from seawall.adapters.crewai.place import CrewStopped

install()

__all__ = ["CrewGate", "CrewStopped", "gate"]
