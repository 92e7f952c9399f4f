"""
A copy of the checkout with one tiny twin, to be built.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from copy import copy
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent
TWIN = 'def twin(*_):\n    return "compiled"\n'
SUFFIX = sysconfig.get_config_var("EXT_SUFFIX")
RECORD = f"built.{sysconfig.get_config_var('SOABI')}.json"
# What says how something is built or run. A test sets its own.
_VARIABLES = ("CC", "CFLAGS", "CPPFLAGS", "LDFLAGS", "PYTHONPATH")


class Checkout:
    """
    Its package has one twin, C{_tiny.twin}, of the fast path C{http.requestHead}.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        without = shutil.ignore_patterns("__pycache__", "*.so", "*.c", "*.json", "*.pyx", "_*.pxd")
        shutil.copytree(ROOT / "wasinet_twisted", root / "wasinet_twisted", ignore=without)
        shutil.copytree(ROOT / "tap", root / "tap", ignore=without)
        for name in ("hatch_build.py", "pyproject.toml", "README.md", "LICENSE", ".gitignore"):
            shutil.copy(ROOT / name, root)
        path = self.speed / "__init__.py"
        table = '_TWINS = {"http.requestHead": ("_tiny", "twin")}'
        changed, count = re.subn(r"_TWINS = \{.*?\n\}", table, path.read_text(), flags=re.DOTALL)
        assert count == 1
        path.write_text(changed)
        self.source.write_text(TWIN)

    @property
    def speed(self) -> Path:
        """
        The folder of the twins.
        """
        return self.root / "wasinet_twisted" / "_speed"

    @property
    def source(self) -> Path:
        """
        What the twin is compiled from.
        """
        return self.speed / "_tiny.pyx"

    def at(self, root: Path) -> Checkout:
        """
        What stands elsewhere.
        """
        other = copy(self)
        other.root = root
        return other

    def environment(self, **variables: str) -> dict[str, str]:
        """
        What this process has, without what concerns a build, and with these.
        """
        ours = {
            name: value
            for name, value in os.environ.items()
            if name not in _VARIABLES and not name.startswith("WASINET_")
        }
        return {**ours, **variables}

    def build(self, what: str = "wheel:standard", **variables: str) -> subprocess.CompletedProcess[str]:
        """
        Let hatchling build, as pip does without an environment of its own.

        @param what: C{wheel:standard}, C{wheel:editable} or C{sdist}.
        """
        command = [sys.executable, "-m", "hatchling", "build", "-t", what, "-d", str(self.root / "dist")]
        # Nobody waits for this module; others are compiled with the usual flags.
        return self._run(command, self.root, {"CFLAGS": "-O0", **variables})

    def run(self, program: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """
        Run a program that imports this checkout's package.
        """
        return self._run([sys.executable, "-c", program], "/", {"PYTHONPATH": str(self.root), **variables})

    def command(self, script: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """
        Run a script of the checkout.
        """
        return self._run([sys.executable, script], self.root, variables)

    def _run(self, command: list[str], cwd: Path | str, variables: dict[str, str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            cwd=cwd,
            env=self.environment(**variables),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def spoken(self, **variables: str) -> tuple[str, str]:
        """
        What the twin answers, and what C{speed()} says afterwards.
        """
        done = self.run(
            "import wasinet_twisted\n"
            "from wasinet_twisted._speed import twinOf\n"
            "twin = twinOf('http.requestHead')\n"
            "print(twin and twin())\n"
            "print(wasinet_twisted.speed())\n",
            **variables,
        )
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
        twin, speed = done.stdout.splitlines()
        return twin, speed

    def files(self) -> set[str]:
        """
        All files below it, but for what Python leaves behind for itself.
        """
        paths = (path for path in self.root.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
        return {str(path.relative_to(self.root)) for path in paths}

    def record(self) -> Any:
        """
        What the build in place has left.
        """
        return json.loads((self.speed / RECORD).read_text())
