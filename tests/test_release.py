"""
What a release is made by: the version, the Pythons, the packages, the workflows.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tomllib
import zipfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml

import wasinet_twisted

from . import wheels

pytestmark = pytest.mark.reactorless

ROOT = Path(__file__).parent.parent
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
FORMS = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))
# Programs that a runner has, or that a step before has installed with the extra `release`.
PROGRAMS = {"bash", "cd", "export", "git", "python", "sha256sum"}
MODULES = {"pip", "cibuildwheel", "twine"}
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def load(path: Path) -> Any:
    """
    Read a file of YAML.
    """
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def jobs() -> dict[str, Any]:
    """
    Return those of all workflows, by their file and name.
    """
    return {f"{path.stem}.{name}": job for path in WORKFLOWS for name, job in load(path)["jobs"].items()}


def steps() -> list[dict[str, Any]]:
    """
    Return those of all jobs.
    """
    return [step for job in jobs().values() for step in job["steps"]]


def run(*command: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """
    Run a command in the checkout, as somebody who has set nothing.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("CIBW_", "WASINET_", "PYTHON"))}
    return subprocess.run(
        command, cwd=ROOT, env={**kept, **variables}, capture_output=True, text=True, timeout=60, check=False
    )


def test_cibuildwheel() -> None:
    """
    It takes its settings, and would build what a release is to have.
    """
    done = run(sys.executable, "-m", "cibuildwheel", "--platform", "linux", "--print-build-identifiers")
    assert done.returncode == 0, done.stderr
    assert set(done.stdout.split()) == wheels.expected() - {"pure", "sdist"}


def test_pythons() -> None:
    """
    The same ones are named to users, compiled for, and tested.
    """
    declared = [
        each.rpartition(" ")[2] for each in PROJECT["classifiers"] if re.search(r":: Python :: 3\.[0-9]+$", each)
    ]
    assert PROJECT["requires-python"] == f">={declared[0]}"
    assert [each.removesuffix("-*") for each in wheels.settings()["build"]] == [
        f"cp{each.replace('.', '')}" for each in declared
    ]
    assert jobs()["ci.gate"]["strategy"]["matrix"]["python"] == declared
    least, most = (tuple(map(int, declared[at].split("."))) for at in (0, -1))
    assert f"PYTHONS = ({least}, {most})" in (ROOT / "hatch_build.py").read_text()


def test_commands() -> None:
    """
    What the workflows run is there.
    """
    found = 0
    for step in steps():
        for line in step.get("run", "").splitlines():
            # What GitHub puts in, and what a variable is set to by another command.
            line = re.sub(r"\$\{\{.*?\}\}", "X", re.sub(r"^\w+=\$\((\w.*)\)$", r"\1", line))
            for command in line.split(" && "):
                words = [word for word in shlex.split(command) if not re.match(r"[A-Z_]+=", word)]
                if not words:
                    continue
                found += 1
                assert words[0] in PROGRAMS, line
                if words[0] == "bash":
                    assert (ROOT / words[1]).is_file(), line
                if words[:2] == ["python", "-m"] and words[2] not in MODULES:
                    assert find_spec(words[2]), line
                if "pip" in words:
                    extra = re.search(r"\.\[(\w+)\]", command)
                    assert extra is not None, line
                    assert extra[1] in PROJECT["optional-dependencies"], line
    assert found >= 10


def test_actions() -> None:
    """
    Each is pinned: by a major tag, by PyPA's branch of released versions, or by a commit.
    """
    used = [step["uses"] for step in steps() if "uses" in step]
    assert used
    for each in used:
        assert re.fullmatch(r"[\w-]+(/[\w-]+)+@(v[0-9]+|release/v[0-9]+|[0-9a-f]{40})", each), each


def test_rights() -> None:
    """
    A workflow may read. Only what publishes may say who it is; that waits for approval, and runs for tags only.
    """
    for path in WORKFLOWS:
        assert load(path)["permissions"] == {"contents": "read"}, path
    for name, job in jobs().items():
        assert ("permissions" in job) == (name == "release.publish"), name
    publish = jobs()["release.publish"]
    assert publish["environment"] == "pypi"
    assert publish["if"] == "github.ref_type == 'tag'"
    assert publish["permissions"] == {"contents": "read", "id-token": "write", "attestations": "write"}
    # It takes what was checked.
    assert publish["needs"] == ["check"]
    assert set(jobs()["release.check"]["needs"]) == {"pure", "compiled"}
    assert not [step for step in publish["steps"] if "run" in step]


def test_architectures() -> None:
    """
    There is a runner for each that wheels are for.
    """
    runners = jobs()["release.compiled"]["strategy"]["matrix"]["runner"]
    assert ["aarch64" if each.endswith("-arm") else "x86_64" for each in runners] == wheels.settings()["linux"]["archs"]


def test_issueForms() -> None:
    """
    Each has what GitHub wants of a form, and none invites to report a vulnerability in public.
    """
    assert {path.name for path in FORMS} == {"bug.yml", "config.yml", "feature.yml"}
    for path in FORMS:
        form = load(path)
        if path.name == "config.yml":
            assert form == {"blank_issues_enabled": False}
            continue
        assert {"name", "description", "body"} <= form.keys()
        for part in form["body"]:
            assert part["type"] in ("markdown", "textarea", "input", "checkboxes", "dropdown"), part
            assert "value" in part["attributes"] if part["type"] == "markdown" else "label" in part["attributes"]
        ids = [part["id"] for part in form["body"] if "id" in part]
        assert len(ids) == len(set(ids))
        assert "SECURITY.md" in str(form["body"][0])


@pytest.mark.parametrize(
    ("tag", "why"),
    [
        ("v0.0.1", f"the tag is v0.0.1, but wasinet_twisted is {wasinet_twisted.__version__}"),
        (wasinet_twisted.__version__, f"but wasinet_twisted is {wasinet_twisted.__version__}"),
    ],
)
def test_aTagOfAnotherVersion(tag: str, why: str) -> None:
    done = run("bash", ".ci/release", "/nowhere", TAG=tag, SOURCE_DATE_EPOCH="0")
    assert (done.returncode, done.stderr) == (1, "")
    assert why in done.stdout


@pytest.mark.parametrize("script", ["run", "long", "release", "pure", "lib"])
def test_shellScripts(script: str) -> None:
    """
    Bash can read each.
    """
    done = run("bash", "-n", f".ci/{script}")
    assert (done.returncode, done.stderr) == (0, "")


def test_noSuchPython() -> None:
    """
    The gate that is asked for another Python runs on that one or not at all.
    """
    done = run("bash", ".ci/run", PYTHON="python0")
    assert done.returncode == 1
    assert done.stdout == "PYTHON=python0: there is no such program\n"


def packages(folder: Path, version: str = "0.2.0") -> None:
    """
    Lay down what a release has.
    """
    folder.mkdir()
    (folder / f"wasinet_twisted-{version}.tar.gz").touch()
    modules = [path.stem for path in (ROOT / "wasinet_twisted" / "_speed").glob("_*.pyx")]
    for kind in wheels.expected() - {"sdist"}:
        python, _, platform = kind.partition("-")
        if kind == "pure":
            tags = "py3-none-any"
        else:
            libc, _, arch = platform.partition("_")
            several = [f"{libc}_2_17_{arch}"] + ([f"manylinux2014_{arch}"] if libc == "manylinux" else [])
            tags = f"{python}-{python}-{'.'.join(several)}"
        with zipfile.ZipFile(folder / f"wasinet_twisted-{version}-{tags}.whl", "w") as held:
            for module in modules if kind != "pure" else ():
                held.writestr(f"wasinet_twisted/_speed/{module}.{python}.so", b"")
            for name in ("qjs.wasm", "qjs.wasm.LICENSE"):
                held.writestr(f"wasinet_twisted/javascript/guest/{name}", b"")


def test_packages(tmp_path: Path) -> None:
    """
    What is missing, too much or empty is told.
    """
    folder = tmp_path / "dist"
    packages(folder)
    assert wheels.faults(folder) == []
    (pure,) = folder.glob("*-py3-none-any.whl")
    (one,) = folder.glob("*-cp312-cp312-musllinux*x86_64.whl")
    pure.rename(folder / "wasinet_twisted-0.2.0-cp314-cp314t-manylinux_2_17_x86_64.whl")
    with zipfile.ZipFile(one, "w"):
        pass
    (folder / "wasinet_twisted-0.1.0.tar.gz").touch()
    (folder / "other-1.whl").touch()
    assert wheels.faults(folder) == [
        "other-1.whl is no package of wasinet_twisted",
        "wasinet_twisted-0.2.0-cp312-cp312-musllinux_2_17_x86_64.whl holds the compiled modules none",
        "wasinet_twisted-0.2.0-cp312-cp312-musllinux_2_17_x86_64.whl has no JavaScript engine, or not its licence",
        "wasinet_twisted-0.2.0-cp314-cp314t-manylinux_2_17_x86_64.whl is for cp314, cp314t and manylinux_x86_64",
        "there is no pure",
        "several versions: 0.1.0, 0.2.0",
    ]
