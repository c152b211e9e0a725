"""Shows what a worker does: the progress of its runs on stderr, and a line on stdout for each run that ends or waits."""

from __future__ import annotations

import asyncio
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from seawall.cli.hints import complete_commands
from seawall.cli.render.json_output import build_resumed_document
from seawall.cli.render.outcome import draw_resumed
from seawall.cli.render.progress import ProgressDisplay, follow_run
from seawall.cli.resuming import Resumed
from seawall.core.errors import SeawallError

if TYPE_CHECKING:
    from seawall.cli.render.screen import Screen
    from seawall.runtime.recovery import SetAside
    from seawall.runtime.seawall import Seawall


class WorkerDisplay:
    """A `WorkerListener` that shows what it is told."""

    def __init__(self, sea: Seawall, screen: Screen) -> None:
        self._sea = sea
        self._screen = screen
        self._progress = ProgressDisplay(screen, prefix=True)
        self._following: set[asyncio.Task[None]] = set()
        self.has_problem = False
        """Whether a run was set aside, or could not be taken up."""

    def __repr__(self) -> str:
        return f"<WorkerDisplay of {len(self._following)} runs>"

    def show(self) -> AbstractContextManager[object]:
        """Shows the moving line as long as the context lasts."""
        return self._progress.show()

    async def finish(self) -> None:
        """Waits until the end of every run was shown."""
        if self._following:
            await asyncio.wait(self._following)

    def close(self) -> None:
        """Stops following the runs that are still in flight."""
        for task in self._following:
            task.cancel()

    # ---- the methods of `runtime.worker.WorkerListener`, which the worker calls

    def note_taken(self, run: str, events: int) -> None:
        """Shows the run's progress from now on."""
        task = asyncio.get_running_loop().create_task(self._follow(run, events))
        self._following.add(task)
        task.add_done_callback(self._following.discard)

    def note_set_aside(self, aside: SetAside) -> None:
        """Says which run is set aside, and why."""
        self.has_problem = True
        self._screen.print_note(f"set aside: {complete_commands(aside.reason)}")

    def note_problem(self, run: str, problem: str) -> None:
        """Says why a run could not be taken up."""
        self.has_problem = True
        self._print(Resumed(run=run, problem=complete_commands(problem)))

    async def _follow(self, run: str, events: int) -> None:
        try:
            handle = await self._sea.attach(run)
            rest = await follow_run(self._sea, handle, self._progress, shown_before=events)
        except SeawallError as error:
            self._print(Resumed(run=run, problem=complete_commands(str(error))))
        else:
            self._print(Resumed(run=run, rest=rest))

    def _print(self, resumed: Resumed) -> None:
        if self._screen.json:
            self._screen.print_document(build_resumed_document(resumed), indent=-1)
        else:
            self._screen.print_line(draw_resumed(resumed))
