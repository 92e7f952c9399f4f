"""
What C{import} finds: the modules in C{js/}, and files in the script's folder or below.
"""

from __future__ import annotations

import os
import posixpath
from functools import cache
from pathlib import Path

from ..errors import InvalidArgument

_JS = Path(__file__).parent / "js"
# What scripts import by name.
PUBLIC = ("http", "process", "util", "wasi_http", "wasi_net")
# What those are made of. A full name with this prefix is one of ours, public or not.
_PREFIX = "wasinet:"
BRIDGE, GLOBALS = "wasinet:bridge", "wasinet:globals"
_INNER = ("bodies", "bridge", "emitter", "fields", "globals", "httpclient", "httpserver", "url")
_OURS = frozenset(_PREFIX + each for each in (*PUBLIC, *_INNER))
# Bytes of one file.
_LARGEST = 16 << 20


@cache
def ourSource(name: str) -> str:
    """
    @param name: a full name.
    """
    return (_JS / f"{name.removeprefix(_PREFIX)}.js").read_text("utf-8")


class Modules:
    """
    Those of one program.
    """

    __slots__ = ("_folder",)

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        """
        @param folder: the script's.
        """
        self._folder = Path(folder).resolve()

    def resolve(self, base: str, name: str) -> str:
        """
        Return the full name: of a file, its path from the folder on.

        @param base: the full name of the module that imports it.
        @raise InvalidArgument: there is no such module.
        """
        ours = _PREFIX + name
        if name in PUBLIC:
            return ours
        if base in _OURS and name in _OURS:
            return name
        if not name.startswith(("./", "../")):
            hint = "; the name of a file begins with ./" if (self._folder / name).is_file() else ""
            raise InvalidArgument(f"there is no module {name!r}{hint}")
        inside = posixpath.normpath(posixpath.join(posixpath.dirname(base), name))
        return self._find(inside, name).relative_to(self._folder).as_posix()

    def load(self, name: str) -> str:
        """
        Return the source of a module.

        @param name: its full name.
        @raise InvalidArgument: there is no such module, or it can't be read.
        """
        if name in _OURS:
            return ourSource(name)
        return readScript(self._find(name, name))

    def _find(self, inside: str, name: str) -> Path:
        """
        @param inside: the path from the folder on.
        """
        # A colon is in the names of ours only.
        if not inside.isprintable() or ":" in inside or "\\" in inside:
            raise InvalidArgument(f"there is no module {name!r}: its name has characters that no module's has")
        try:
            path = (self._folder / inside).resolve()
            found = path.is_relative_to(self._folder) and path.is_file()
        except (OSError, RuntimeError):
            # Too long, or links in a circle.
            found = False
        if not found:
            raise InvalidArgument(f"there is no module {name!r} in the script's folder or below")
        return path


def readScript(path: Path) -> str:
    """
    @raise InvalidArgument: it can't be read, is too large, or is no UTF-8.
    """
    try:
        with open(path, "rb") as file:
            data = file.read(_LARGEST + 1)
        if len(data) > _LARGEST:
            raise InvalidArgument(f"a script has up to {_LARGEST} bytes, {str(path)!r} has more")
        return data.decode("utf-8-sig")
    except OSError as error:
        raise InvalidArgument(f"can't read the script {str(path)!r}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InvalidArgument(f"the script {str(path)!r} is no UTF-8: {error}") from error
