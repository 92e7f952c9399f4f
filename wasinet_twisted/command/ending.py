"""
How the command ends: by a signal, or with a status, and never with a traceback for what is no fault of its own.
"""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress


class Interrupted(BaseException):
    """
    A signal has asked the command to end, and it has cleaned up.

    @ivar number: of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class OutputFailed(Exception):
    """
    The standard output can't be written to.
    """


def endBy(number: int) -> int:
    """
    End the process by a signal: then a shell's loop ends as well, and the shell shows 128 and the number.

    @return: that status, where the signal can't end the process: the first one of a container.
    """
    discardOutput()
    # The mask may be inherited.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [number])
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    return 128 + number


def flush() -> None:
    """
    Write what Python still holds of the output.

    @raise BrokenPipeError: nobody reads it any more.
    @raise OutputFailed: it can't be written otherwise.
    """
    for stream in (sys.stdout, sys.stderr):
        # Of a command that was started without one, it is None.
        if stream is not None:
            try:
                stream.flush()
            except BrokenPipeError:
                raise
            except OSError as error:
                raise OutputFailed(f"can't write the output: {error.strerror}") from error


def output(text: str) -> None:
    """
    Print a line, now.

    @raise BrokenPipeError: nobody reads the standard output any more.
    @raise OutputFailed: it can't be written to otherwise.
    """
    try:
        # In one write, also where Python buffers nothing.
        print(f"{text}\n", end="", flush=True)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputFailed(f"can't write the output: {error.strerror}") from error


def say(name: str, text: str) -> None:
    """
    Write a line to the standard error, if there is one.

    @param name: of the command.
    @param text: may be what a server has written, and may have several lines.
    """
    if sys.stderr is not None:
        text = shown(text, keep="\n\t")
        with suppress(OSError):
            print(f"{name}: {text}", file=sys.stderr)


def shown(text: str, keep: str = "") -> str:
    """
    Return text that does nothing to a terminal: control characters, those that change the order of reading, and bytes
    that are no UTF-8 become Python's escapes.

    @param keep: characters that stay all the same.
    """
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() or char in keep else char.encode("unicode_escape").decode("ascii") for char in text
    )


def discardOutput() -> None:
    """
    Forget what Python still holds of the output: its end would complain.
    """
    with suppress(OSError, ValueError, AttributeError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)


def leave(status: int) -> int:
    """
    End at once, if a thread of the reactor's is stuck: looking a name up may take half a minute, and Python would wait
    for it.

    @return: C{status}, if none is.
    """
    reactor = sys.modules.get("twisted.internet.reactor")
    pool = getattr(reactor, "threadpool", None)
    if pool is not None and pool.working:
        os._exit(status)
    return status
