"""
When a worker gets a processor core that is in use.

A process that is woken takes the core from whoever has run on it for longer. Where a worker shares its core with its
clients, such as a proxy on the same machine, it is so woken by the first one's request, before the others have sent
theirs, and has but one to handle each time. With much to do that is dear: measured, with two workers and their load on
two cores, a request took a quarter more CPU time.

So a worker with much to do waits until whoever runs has had its turn (C{SCHED_BATCH}, sched(7)), which takes some
milliseconds at most; one with little to do doesn't wait.
"""

from __future__ import annotations

import os
from contextlib import suppress

# Much to do is so much CPU time from one look to the next, in seconds, and it is over after so many looks with less.
BUSY = 0.25
CALM = 10

_BATCH = getattr(os, "SCHED_BATCH", None)


class Scheduling:
    """
    That of this thread, and of what it starts.
    """

    def __init__(self, cpu: float) -> None:
        """
        @param cpu: the CPU time that this process has taken so far, in seconds.
        """
        self._cpu = cpu
        self._calm = 0
        self._waits = False

    def look(self, cpu: float) -> None:
        """
        See how much there has been to do. To be called once a second.

        @param cpu: as before.
        """
        used, self._cpu = cpu - self._cpu, cpu
        if used >= BUSY:
            self._calm = 0
            self._wait(True)
        elif self._waits:
            self._calm += 1
            if self._calm >= CALM:
                self._wait(False)

    def _wait(self, waits: bool) -> None:
        if waits == self._waits or _BATCH is None:
            return
        old, new = (os.SCHED_OTHER, _BATCH) if waits else (_BATCH, os.SCHED_OTHER)
        # Whoever has chosen something else for the service meant the workers as well; and a sandbox may forbid it.
        with suppress(OSError):
            if os.sched_getscheduler(0) == old:
                os.sched_setscheduler(0, new, os.sched_param(0))
                self._waits = waits
