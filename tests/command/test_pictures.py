"""
The pictures of a terminal in docs/cli.md.
"""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path

import pytest

pytestmark = pytest.mark.reactorless
pytest.importorskip("rich")

from . import pictures  # noqa: E402


def words(path: Path) -> str:
    """
    What a picture says, without times and versions.
    """
    svg = path.read_text(encoding="utf-8")
    text = unescape("".join(re.findall(r"<text [^>]*>([^<]*)</text>", svg))).replace("\N{NO-BREAK SPACE}", " ")
    return re.sub(r"[0-9]+(\.[0-9]+)*", "N", re.sub("Date: .* GMT", "Date", text))


def test_thePageShowsWhatTheCommandSays(tmp_path: Path) -> None:
    """
    The picture that takes the least time, made anew. If it differs: python -m tests.command.pictures
    """
    terminal = pictures.Terminal(tmp_path)
    pictures.get(terminal)
    made = words(terminal.save("get", tmp_path))
    assert "wasinet get http://N:N/old -v --timings" in made
    assert made == words(pictures.DOCS / "cli-get.svg")
    assert {f"cli-{name}.svg" for name in pictures.PICTURES} == {path.name for path in pictures.DOCS.glob("cli-*.svg")}
