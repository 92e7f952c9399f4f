"""
The app that a command serves: found by its name, and what to say when it can't be.
"""

from __future__ import annotations

import os
import re
import sys
import traceback
from collections.abc import Callable
from importlib import import_module
from typing import Any

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
    return _load("app", text, "handler", "a function that takes a request")


def loadShutdown(text: str) -> Callable[..., Any]:
    """
    Import a function to call at the end of the service, as L{loadApp} does.

    @raise AppFailed: with one line that says why not.
    """
    return _load("shutdown", text, "function", "a function that takes nothing")


def _load(option: str, text: str, example: str, kind: str) -> Callable[..., Any]:
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
        frames = [(each.filename, each.lineno) for each in traceback.extract_tb(error.__traceback__)]
        # Without those of importing itself.
        frames = [each for each in frames if not each[0].startswith("<frozen ") and each[0] != __file__][1:]
        if isinstance(error, SyntaxError) and error.filename:
            frames.append((error.filename, error.lineno))
        what = error.msg if isinstance(error, SyntaxError) else str(error)
        where = "".join(f" ({file}, line {line})" for file, line in frames[-1:])
        # On one line, whatever the exception says.
        why = " ".join(f"{type(error).__name__}: {what}".removesuffix(": ").split())
        raise AppFailed(f"can't import the {option} {text}: {why}{where}", {file for file, _ in frames}) from error
    try:
        for part in name.split("."):
            app = getattr(app, part)
    except AttributeError as error:
        file = getattr(sys.modules[module], "__file__", None) or "no file"
        raise AppFailed(f"there is no {option} {text}: {error} ({file})") from error
    if not callable(app):
        raise AppFailed(f"the {option} {text} must be {kind}, not {app!r:.100}")
    return app  # type: ignore[no-any-return]


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
