"""The desk of the job in the current directory, for `seawall worker effects.app:desk`."""

from __future__ import annotations

from pathlib import Path

import msgspec

from effects.desk import Dying, Place
from effects.desk import desk as make_desk
from effects.job import Job
from effects.world.client import Teller

_job = msgspec.json.decode(Path("job").read_bytes(), type=Job)
desk = make_desk(Place(Teller(_job.port), Dying(), _job.terms), _job.replies, plans=_job.plans)
