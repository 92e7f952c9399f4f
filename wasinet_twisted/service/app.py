"""
The app that a command serves: found by its name, and what to say when it can't be.
"""

from __future__ import annotations

import importlib
import os
import re
import sys
import traceback
from collections.abc import Callable
from importlib import import_module
from typing import Any

_HERE = os.path.join(os.path.dirname(__file__), "")
_IMPORTLIB = importlib.__file__
_NAME = r"[^\W\d]\w*(?:\.[^\W\d]\w*)*"
_APP = re.compile(f"({_NAME}):({_NAME})")


class AppFailed(Exception):
    """
    There is no such app, or it can't be imported.

    @ivar files: those whose change may help.
    """

    def __init__(self, message: str, files: set[str] | None = None) -> None:
        super().__init__(message)
        self.files = files or set()


def loadApp(text: str) -> Callable[..., Any]:
    """
    Import a handler, also from the current directory.

    @param text: such as C{"package.module:handler"}.
    @raise AppFailed: with one line that says why not.
    """
    return load("app", text, "handler", "a function that takes a request")


def loadShutdown(text: str) -> Callable[..., Any]:
    """
    Import a function to call at the end of the service, as L{loadApp} does.

    @raise AppFailed: with one line that says why not.
    """
    return load("shutdown", text, "function", "a function that takes nothing")


def load(option: str, text: str, example: str, kind: str) -> Callable[..., Any]:
    """
    Import what an option names, also from the current directory.

    @param example: what stands behind the colon, for an error.
    @param kind: what it has to be.
    @raise AppFailed: with one line that says why not.
    """
    match = _APP.fullmatch(text)
    if match is None:
        raise AppFailed(f"--{option} must be like package.module:{example}, not {text!r}")
    module, name = match.groups()
    directory = os.getcwd()
    if directory not in sys.path:
        sys.path.insert(0, directory)
    try:
        app: Any = import_module(module)
    except (Exception, SystemExit) as error:
        why, files = reasonOf(error)
        raise AppFailed(f"can't import the {option} {text}: {why}", files) from error
    try:
        for part in name.split("."):
            app = getattr(app, part)
    except AttributeError as error:
        file = getattr(sys.modules[module], "__file__", None) or "no file"
        raise AppFailed(f"there is no {option} {text}: {error} ({file})") from error
    if not callable(app):
        raise AppFailed(f"the {option} {text} must be {kind}, not {app!r:.100}")
    return app  # type: ignore[no-any-return]


def reasonOf(error: BaseException) -> tuple[str, set[str]]:
    """
    Say why an app's code has failed.

    @return: what was raised in the app's code, and where, on one line; and the files that it came through.
    """
    frames = [(each.filename, each.lineno) for each in traceback.extract_tb(error.__traceback__)]
    # Without those of importing itself, and of what has asked for it.
    frames = [each for each in frames if not each[0].startswith(("<frozen ", _HERE)) and each[0] != _IMPORTLIB]
    if isinstance(error, SyntaxError) and error.filename:
        frames.append((error.filename, error.lineno))
    what = error.msg if isinstance(error, SyntaxError) else str(error)
    where = "".join(f" ({file}, line {line})" for file, line in frames[-1:])
    # On one line, whatever the exception says.
    why = " ".join(f"{type(error).__name__}: {what}".removesuffix(": ").split())
    return f"{why}{where}", {file for file, _ in frames}


def appFiles() -> set[str]:
    """
    The files of all modules imported from below the current directory, but for what is installed there.
    """
    directory = os.path.join(os.getcwd(), "")
    found = set()
    for module in list(sys.modules.values()):
        file = getattr(module, "__file__", None)
        if isinstance(file, str) and file.startswith(directory):
            parts = file.split(os.sep)
            if "site-packages" not in parts and "dist-packages" not in parts:
                found.add(file)
    return found
