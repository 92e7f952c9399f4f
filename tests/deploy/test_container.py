"""
C{deploy/Containerfile}: read by a small parser, since no registry of images is needed for that; what it runs is run.
"""

from __future__ import annotations

import json
import re
import shlex
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.processes import PATIENCE, ROOT, freePort, running, script

from .support import DEPLOY, adapted, deployed

pytestmark = pytest.mark.reactorless

INSTRUCTIONS = frozenset(
    ("FROM", "ENV", "RUN", "COPY", "ADD", "WORKDIR", "USER", "EXPOSE", "STOPSIGNAL", "HEALTHCHECK", "ENTRYPOINT", "CMD")
)


@dataclass
class Stage:
    """
    @ivar image: what it begins with.
    @ivar name: what others call it.
    @ivar instructions: what follows, each with its arguments as they stand there.
    """

    image: str
    name: str | None
    instructions: list[tuple[str, str]] = field(default_factory=list)

    def all(self, instruction: str) -> list[str]:
        """
        The arguments of all instructions of a kind.
        """
        return [arguments for each, arguments in self.instructions if each == instruction]

    def one(self, instruction: str) -> str:
        """
        Those of the one that there is.
        """
        (arguments,) = self.all(instruction)
        return arguments


def parsed(text: str) -> list[Stage]:
    """
    The stages of a Containerfile.
    """
    stages: list[Stage] = []
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    for line in re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines():
        instruction, arguments = line.split(None, 1)
        assert instruction in INSTRUCTIONS, line
        if instruction == "FROM":
            found = re.fullmatch(r"(\S+)(?: AS (\w+))?", arguments)
            assert found is not None, line
            stages.append(Stage(*found.groups()))
        else:
            stages[-1].instructions.append((instruction, arguments))
    return stages


def stages() -> list[Stage]:
    return parsed(deployed("Containerfile"))


def test_imagesAreNamedExactly() -> None:
    for stage in stages():
        host, _, rest = stage.image.partition("/")
        assert "." in host, f"{stage.image} may come from anywhere"
        tag = rest.rpartition(":")[2]
        assert re.match(r"\d+\.\d+", tag), f"{stage.image} is another one tomorrow"


def test_nothingComesFromElsewhere() -> None:
    """
    No ADD, which fetches URLs and unpacks archives; and what is copied is there, or comes from a stage before.
    """
    names: list[str | None] = []
    for stage in stages():
        assert stage.all("ADD") == []
        for arguments in stage.all("COPY"):
            *sources, _ = arguments.split()
            if sources[0].startswith("--from="):
                assert sources[0].removeprefix("--from=") in names
                continue
            for source in sources:
                assert (ROOT / source).exists(), source
        assert not re.search(r"\b(curl|wget|git clone|https?://)", " ".join(stage.all("RUN")))
        names.append(stage.name)
    assert len(names) == 2


def test_whatTheBuildNeedsIsCopied() -> None:
    """
    Each file that pyproject.toml and the build's hook name.
    """
    copied = " ".join(stages()[0].all("COPY"))
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    for name in ("pyproject.toml", "hatch_build.py", "README.md", "LICENSE", "tap", "wasinet_twisted"):
        assert name == "pyproject.toml" or name in text
        assert re.search(rf"(^| |\./){re.escape(name)}( |$)", copied), name


def test_theLastStageHasNoCompiler() -> None:
    """
    Nor does it install anything.
    """
    build, last = stages()
    assert "slim" in last.image
    assert "slim" not in build.image
    assert last.all("RUN") == []
    assert "PIP_NO_CACHE_DIR=1" in build.one("ENV")
    assert not re.search(r"\bbuild-essential\b|\bgcc\b|\bapt", deployed("Containerfile").partition(last.image)[2])


def test_nobodyIsRoot() -> None:
    last = stages()[-1]
    user, _, group = last.one("USER").partition(":")
    # Kubernetes' runAsNonRoot can't look a name up.
    assert int(user) > 0
    assert int(group) > 0
    order = [instruction for instruction, _ in last.instructions]
    assert order.index("USER") > max(index for index, each in enumerate(order) if each == "COPY")
    # Ports that need no privileges.
    assert all(int(port) >= 1024 for port in last.one("EXPOSE").split())
    assert last.one("STOPSIGNAL") == "SIGTERM"


def test_nothingIsWritten() -> None:
    """
    The root is read-only: no PID file, no bytecode, and Twisted's file of plugins is made by the build.
    """
    build, last = stages()
    assert "--pidfile=" in json.loads(last.one("ENTRYPOINT"))
    assert "PYTHONDONTWRITEBYTECODE=1" in shlex.split(last.one("ENV"))
    assert any("/opt/venv/bin/twistd --help" in each for each in build.all("RUN"))


def test_whatItRuns(tmp_path: Path) -> None:
    """
    Its command serves the app, and its health check knows whether it does.
    """
    last = stages()[-1]
    (tmp_path / "shop.py").write_bytes((DEPLOY / "shop.py").read_bytes())
    port, status = freePort(), freePort()
    arguments = adapted(last.one("CMD"), {"tcp:8080": f"tcp:{port}:interface=127.0.0.1", "0.0.0.0:9000": str(status)})
    command = [*json.loads(last.one("ENTRYPOINT")), *json.loads(arguments)]
    assert command[0] == "/opt/venv/bin/twistd"
    _, check = last.one("HEALTHCHECK").split("CMD ")
    interpreter, *rest = json.loads(adapted(check, {":9000/": f":{status}/"}))
    assert interpreter == "/opt/venv/bin/python"

    def healthy() -> bool:
        done = subprocess.run([sys.executable, *rest], capture_output=True, timeout=PATIENCE, check=False)
        return done.returncode == 0

    assert not healthy()
    with running([script("twistd"), *command[1:]], tmp_path) as process:
        process.waitForPorts(port, status)
        assert healthy()
        # Also while it drains.
        process.process.send_signal(signal.SIGTERM)
        process.waitForOutput("/readyz says draining")
        assert healthy()
        process.process.send_signal(signal.SIGTERM)
        assert process.wait() == -signal.SIGTERM
    assert not healthy()
    # Bytecode is not written there, where the environment says so.
    assert {path.name for path in tmp_path.iterdir()} - {"__pycache__"} == {"shop.py", "stderr", "stdout"}
