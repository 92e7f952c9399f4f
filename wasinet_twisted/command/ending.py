"""
How the command ends: by a signal, or with a status, and never with a traceback for what is no fault of its own.
"""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress

# Are there threads that nobody ends any more?
_abandoned = False


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


def occupy() -> None:
    """
    Let standard files that the command was started without (C{>&-}) be ones that can't be used: otherwise the next
    file or connection that is opened gets such a number, and what is printed.
    """
    for number, mode in ((0, os.O_WRONLY), (1, os.O_RDONLY), (2, os.O_RDONLY)):
        try:
            os.fstat(number)
        except OSError:
            # The lowest number that is free, which is this one.
            os.open(os.devnull, mode)


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


def abandonThreads() -> None:
    """
    Say that the reactor has ended without its threads: one was at work, and may be for long, as when it looks a name
    up. L{leave} doesn't wait for them then.
    """
    global _abandoned
    _abandoned = True


def leave(status: int) -> int:
    """
    End at once, if threads were abandoned: Python would wait for them, and for one that has finished its work since,
    forever.

    @return: C{status}, if none were.
    """
    if _abandoned:
        os._exit(status)
    return status
