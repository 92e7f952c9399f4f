"""
Twisted's own reactor tests: nothing that passes with a stock reactor may fail with ours. And that the
comparison, of these and of other people's suites, notices what it is there for.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.reactor import suites

# They name the reactors themselves.
pytestmark = pytest.mark.reactorless


def test_whatPassesThereAlsoPassesHere() -> None:
    stock, ours = suites.run(suites.STOCK), suites.run(suites.OURS)
    assert len(stock.ends) > 300
    # Some fail with every reactor, where the tests run as root.
    assert suites.faults(stock, ours) == []
    assert ours.ends.keys() == stock.ends.keys()


def test_theSameForAsyncio() -> None:
    """
    Of what takes a moment there too: what has to do with connections and the loop.
    """
    names = [f"twisted.internet.test.test_{name}" for name in ("core", "fdset", "newtls", "tcp", "threads", "unix")]
    stock, ours = suites.run(suites.STOCK_ASYNCIO, names), suites.run(suites.OURS_ASYNCIO, names)
    assert len(stock.ends) > 200
    assert suites.faults(stock, ours) == []
    assert ours.ends.keys() == stock.ends.keys()


STOCK = "a passed\nb passed\nc skipped\nd failed\n\twhy\n"


@pytest.mark.parametrize(
    ("ours", "found"),
    [
        (STOCK, []),
        # Only here, and why.
        (
            "a passed\nb failed\n\tbecause\n\tof\nc skipped\nd failed\n",
            ["b: passed, and with ours failed\n\tbecause\n\tof\n"],
        ),
        # The worst counts, if a test is reported twice.
        ("a passed\na failed\nb failed\nb passed\nc passed\nd passed\n", ["a", "b"]),
        ("a skipped\nb passed\nc failed\nd failed\n", ["a", "c"]),
        ("b passed\nd failed\n", ["a", "c"]),
        # What fails with both, or is new here, is no regression.
        ("a passed\nb passed\nc skipped\ne failed\n", []),
    ],
)
def test_whatEndsWorseIsARegression(ours: str, found: list[str]) -> None:
    faults = suites.faults(suites.parse(STOCK), suites.parse(ours))
    assert len(faults) == len(found)
    assert all(fault.startswith(beginning) for fault, beginning in zip(faults, found, strict=True))


def test_aRunThatProvesNothing() -> None:
    """
    One that ran no tests, and two that hung at the same place, are no proof.
    """
    assert suites.faults(suites.parse(""), suites.parse("")) == ["no test was run"]
    cut = suites.parse("a passed\n", complete=False)
    assert suites.faults(cut, cut) == ["with stock it didn't come to its end", "with ours it didn't come to its end"]


def test_theTable() -> None:
    stock, ours = suites.parse(STOCK), suites.parse("a passed\nb failed\nc skipped\nd passed\ne passed\n")
    assert suites.row("x", "x 1.0", stock, ours) == "| x | x 1.0 | 5 | 2 / 1 / 1 | 3 / 1 / 1 | `b`, `d`, `e` |\n"


def test_theCommand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """
    Its status, and its table: printed, and put into a page.
    """
    page = tmp_path / "page.md"
    page.write_text(f"before\n{suites.BEGIN}old\n{suites.END}after\n")
    runs = {suites.STOCK: STOCK, suites.OURS: STOCK}
    monkeypatch.setattr(suites, "run", lambda reactor, names: suites.parse(runs[reactor]))
    assert suites.main(["--names", "x", "--markdown", str(page)]) == 0
    table = capsys.readouterr().out
    assert "| 4 | 2 / 1 / 1 | 2 / 1 / 1 | none |" in table
    assert page.read_text() == f"before\n{suites.BEGIN}{table}{suites.END}after\n"
    runs[suites.OURS] = "a passed\n"
    assert suites.main(["--names", "x"]) == 1
    assert "b: passed, and with ours missing" in capsys.readouterr().err


@pytest.mark.parametrize("loop", ["", ":uvloop"])
def test_theCommandForAsyncio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, loop: str) -> None:
    """
    It compares those, and has a table of its own in the page.
    """
    asked: list[str] = []
    monkeypatch.setattr(suites, "run", lambda reactor, names: asked.append(reactor) or suites.parse(STOCK))
    page = tmp_path / "page.md"
    epolls = f"{suites.BEGIN}epoll's\n{suites.END}"
    page.write_text(f"{epolls}{suites.BEGIN_ASYNCIO}old\n{suites.END_ASYNCIO}after\n")
    options = ["--asyncio", *(["--uvloop"] if loop else [])]
    assert suites.main([*options, "--names", "x", "--markdown", str(page)]) == 0
    assert asked == [suites.STOCK_ASYNCIO + loop, suites.OURS_ASYNCIO + loop]
    assert page.read_text().startswith(f"{epolls}{suites.BEGIN_ASYNCIO}| suite |")
    assert "old" not in page.read_text()


def test_uvloopWithoutAsyncio(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        suites.main(["--uvloop"])
    assert "--uvloop is for --asyncio" in capsys.readouterr().err
