"""
How a client is started, watched and asked what it took, and the nginx that answers it.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from .candidates import PATIENCE, ROOT, Candidate, Failed, Server, environment, pinnedTo, serving
from .clientpeers import ORIGIN

# How much of a failed client's output is shown, in lines.
_SHOWN = 20


@contextmanager
def answering(folder: Path, core: int, huge: int) -> Iterator[Server]:
    """
    Start nginx, which listens when this begins, and stop it in the end.

    @param folder: for all that it writes.
    @param huge: the size of the sparse file that it has, in bytes.
    """
    with serving(ORIGIN.given(folder=folder, huge=huge), core) as origin:
        origin.connect().close()
        yield origin


def run(
    candidate: Candidate, origin: Server, core: int, arguments: tuple[object, ...], within: float
) -> dict[str, Any]:
    """
    Let one client do what it is told, on a core of its own.

    @param arguments: what its command is given after the port.
    @param within: how long that takes, in seconds, beside its start.
    @return: what it reports; C{originCpu} is the CPU time that the origin took meanwhile, in seconds.
    @raise Failed: it reports nothing.
    """
    asked = replace(candidate, command=(*candidate.command, *map(str, arguments))).given(port=origin.port)
    with tempfile.TemporaryFile("w+") as errors:
        with pinnedTo(core):
            process = subprocess.Popen(
                asked.command,
                cwd=ROOT,
                env=environment(candidate),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                # A Ctrl-C in the terminal is for us.
                start_new_session=True,
            )
        # It ends the reading, too.
        patience = threading.Timer(within + 2 * PATIENCE, process.kill)
        patience.start()
        try:
            assert process.stdout is not None
            begun = process.stdout.readline()
            before = origin.cpu()
            told = process.stdout.readline()
            taken = origin.cpu() - before
            process.wait()
        finally:
            patience.cancel()
            process.kill()
            process.wait()
            process.stdout.close()
        origin.check()
        try:
            if begun != "begin\n" or process.returncode:
                raise ValueError
            report: dict[str, Any] = json.loads(told)
        except ValueError:
            errors.seek(0)
            lines = errors.read().splitlines()[-_SHOWN:]
            why = f"ended with status {process.returncode}, and reported {begun + told!r}"
            raise Failed("\n".join([f"{candidate.title}: {why}", *lines])) from None
    return {**report, "originCpu": taken}
