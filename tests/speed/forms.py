"""
Both forms of what is compiled, side by side: the twin, and the Python that it stands for.
"""

from __future__ import annotations

import gc
import sys
import tracemalloc
from collections.abc import Callable
from importlib import import_module
from typing import Any

from wasinet_twisted import _fast
from wasinet_twisted.http import fasthead, machine, outgoing, requestreceiver, serverconnection

# More fields than this, and the twin leaves a head to the slow path.
MOST_FIELDS = 128

_UNSET = object()


class Difference(AssertionError):
    """
    The two forms don't agree.
    """


class Form:
    """
    One of the functions that has a twin.

    @ivar path: its name among the fast paths.
    @ivar name: its name in the modules that use it.
    @ivar python: itself.
    @ivar twin: what is used; the same where nothing is compiled.
    """

    def __init__(self, path: str, module: Any, name: str) -> None:
        self.path = path
        self.name = name
        self.python: Callable[..., Any] = _fast.paths[path].python  # type: ignore[assignment]
        self.twin: Callable[..., Any] = getattr(module, name)

    @property
    def isCompiled(self) -> bool:
        """
        Is there a twin, and is it used?
        """
        return _fast.isOn(self.path) and self.twin is not self.python


REQUEST = Form("http.requestHead", fasthead, "fastRequestHead")
RESPONSE = Form("http.responseHead", fasthead, "fastResponseHead")
ANSWER = Form("http.response", outgoing, "fastResponse")

COMPILED = REQUEST.isCompiled and RESPONSE.isCompiled and ANSWER.isCompiled
WHY_NOT = "http.requestHead, http.responseHead and http.response have no compiled twin in this process"


def heads() -> Any:
    """
    The compiled module of the heads.
    """
    return import_module("wasinet_twisted._speed._heads")


def answers() -> Any:
    """
    The compiled module of the responses.
    """
    return import_module("wasinet_twisted._speed._answers")


def remembered() -> tuple[list[bytes], list[str]]:
    """
    The lines and the names that the twins remember.
    """
    return import_module("wasinet_twisted._speed._fields").remembered()  # type: ignore[no-any-return]


def forget() -> None:
    """
    Let the twins forget what they have seen, if there are any.
    """
    if COMPILED:
        heads().forget()
        answers().forget()


def compareEverywhere() -> None:
    """
    From now on, compare the two forms wherever the parser and a server use them. A difference is an AssertionError.
    """
    if not COMPILED:
        return
    for form, modules in (
        (REQUEST, (machine, requestreceiver)),
        (RESPONSE, (machine,)),
        (ANSWER, (serverconnection,)),
    ):
        for module in modules:
            setattr(module, form.name, _compared(form))


def _compared(form: Form) -> Callable[..., Any]:
    def both(*given: Any) -> Any:
        twin = answer(form.twin, given)
        difference = parted(answer(form.python, given), twin)
        assert difference is None, f"{form.path} of {given!r}: {difference}"
        if isinstance(twin, Exception):
            raise twin
        return twin

    return both


def growth(once: Callable[[], None], rounds: int) -> tuple[int, int]:
    """
    Do something again and again.

    @return: how many bytes of memory that has left, and how many references, which only a debug build of Python counts.
    """
    references: Callable[[], int] = getattr(sys, "gettotalrefcount", lambda: 0)
    for _ in range(3):
        once()
    gc.collect()
    tracemalloc.start()
    try:
        once()
        bytesBefore, before = tracemalloc.get_traced_memory()[0], references()
        for _ in range(rounds):
            once()
        gc.collect()
        return tracemalloc.get_traced_memory()[0] - bytesBefore, references() - before
    finally:
        tracemalloc.stop()


def differences(form: Form, *given: Any) -> str | None:
    """
    Run both forms.

    @return: how the twin's answer differs from the Python's; L{None}: it doesn't.
    """
    return parted(answer(form.python, given), answer(form.twin, given))


def answer(function: Callable[..., Any], given: tuple[Any, ...]) -> Any:
    """
    What a function answers, or the exception that it raises.
    """
    try:
        return function(*given)
    except Exception as error:
        return error


def parted(python: Any, twin: Any) -> str | None:
    """
    Compare two answers: everything that can be seen of them.
    """
    if isinstance(python, tuple) and len(python) == 2:
        head, end = python
        if twin is None and len(head._pairs) > MOST_FIELDS:
            return None
        if not isinstance(twin, tuple) or len(twin) != 2:
            return f"{twin!r} instead of {python!r}"
        if type(twin[1]) is not int or twin[1] != end:
            return f"the end is {twin[1]!r} instead of {end!r}"
        return _headsParted(head, twin[0])
    if isinstance(python, Exception):
        same = type(twin) is type(python) and twin.args == python.args
    else:
        same = type(twin) is type(python) and twin == python
    return None if same else f"{twin!r} instead of {python!r}"


def _headsParted(python: Any, twin: Any) -> str | None:
    if type(python) is not type(twin):
        return f"a {type(twin)} instead of a {type(python)}"
    for name in slotsOf(type(python)):
        expected, found = getattr(python, name, _UNSET), getattr(twin, name, _UNSET)
        if type(expected) is not type(found) or expected != found:
            return f"{name} is {found!r} instead of {expected!r}"
    if getattr(python, "__dict__", None) != getattr(twin, "__dict__", None):
        return f"__dict__ is {twin.__dict__!r} instead of {python.__dict__!r}"
    for pair in twin._pairs:
        if type(pair) is not tuple or [type(part) for part in pair] != [str, str]:
            return f"{pair!r} is no pair of str"
    return None


def slotsOf(kind: type) -> list[str]:
    """
    The names of all slots that instances of a class have.
    """
    found: list[str] = []
    for base in kind.__mro__:
        slots = base.__dict__.get("__slots__", ())
        found += [slots] if isinstance(slots, str) else slots
    return [name for name in found if name not in ("__dict__", "__weakref__")]
