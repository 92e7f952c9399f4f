"""
The simulator of C{docs/scale.md}: its arithmetic, its prediction of a server that is measured here and now, and of what
was measured for the page.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from typing import Any

import pytest

from benchmarks.candidates import Failed, pinnedTo, serving
from benchmarks.capacity import clients, pages
from benchmarks.capacity.__main__ import KEPT, PAGE, main, worst
from benchmarks.capacity.measuring import SHARES, _server, kernelBytes, predicted, requestCost
from benchmarks.capacity.needs import GIB, PORTS, Load, Machine, Plan, asking, upTo, waiting
from benchmarks.capacity.queueing import Cost, Mix, meanWait, simulate
from benchmarks.rounds import twoCores

pytestmark = pytest.mark.reactorless

REPORT: dict[str, Any] = json.loads(KEPT.read_text())


def exponential(mean: float) -> Mix:
    """
    Return a mix whose service times are nearly those of M/M/1.
    """

    return Mix([-mean * math.log((number + 0.5) / 1000) for number in range(1000)], [0.001] * 1000)


@pytest.mark.parametrize("busy", [0.3, 0.6, 0.8])
@pytest.mark.parametrize("mix", [Mix([0.001], [1.0]), Mix([0.0005, 0.005], [0.9, 0.1]), exponential(0.001)])
def test_theFormula(mix: Mix, busy: float) -> None:
    """
    Where each answer goes out at once, the simulation's mean is that of Pollaczek's and Khinchine's formula.
    """
    rate = busy / mix.mean
    found = simulate(rate, mix, together=1, count=200_000)
    assert found.busy == pytest.approx(busy, rel=0.03)
    assert found.mean == pytest.approx(meanWait(rate, mix) + mix.mean, rel=0.08)


def test_theFormulaByHand() -> None:
    """
    M/M/1 at a half waits as long as it serves, M/D/1 half as long; at one there is no end of it.
    """
    assert meanWait(500, Mix([0.001], [1.0])) == pytest.approx(0.0005)
    assert meanWait(500, exponential(0.001)) == pytest.approx(0.001, rel=0.01)
    with pytest.raises(ValueError, match="1.00 servers' work"):
        meanWait(1000, Mix([0.001], [1.0]))


def test_answersGoOutTogether() -> None:
    """
    Then none is earlier, and the first ones of a turn are later: the more, the busier the worker is.
    """
    mix = Mix([0.001], [1.0])
    for busy, least, most in ((0.1, 1.0, 1.05), (0.8, 1.15, 2.0)):
        once, together = (simulate(busy / mix.mean, mix, together=size).mean for size in (1, 32))
        assert least <= together / once <= most


def test_wokenWorkers() -> None:
    """
    What a request costs by itself counts as often as the worker is idle.
    """
    cost = Cost(10, 40)
    assert (cost.at(0), cost.at(0.5), cost.at(1)) == (40, 25, 10)
    for rate in (1000, 20_000, 60_000):
        busy = cost.busy(rate)
        assert busy == pytest.approx(rate * cost.at(busy) / 1e6)
        mix = Mix([10e-6], [1.0], [40e-6])
        assert simulate(rate, mix, together=1, count=50_000).busy == pytest.approx(busy, rel=0.03)
    assert cost.busy(100_000) == pytest.approx(1.0)
    assert cost.busy(200_000) == pytest.approx(2.0)


def test_whatWasMeasured() -> None:
    """
    The kept figures agree with one another.
    """
    assert worst(REPORT) < 0.15
    assert max(point["waited"] for point in REPORT["queueing"]["points"]) < 0.1
    for point in REPORT["points"]:
        assert 0.5 < requestCost(REPORT).busy(point["rate"]) / point["busy"] < 2
    for point in REPORT["queueing"]["points"]:
        told = predicted(REPORT["queueing"], point["rate"])
        assert 0.4 < told.mean / point["mean"] < 2.5
        assert 0.4 < told.p99 / point["p99"] < 2.5


def test_aServerNow() -> None:
    """
    What one request at a time costs says how busy a known rate of two kinds keeps the server.
    """
    serverCore, loadCore = twoCores()
    works = (1000, 10_000)
    with pinnedTo(loadCore), serving(_server("working"), serverCore) as server:
        server.connect().close()
        few, many = (clients.working(server, work, 0.2) for work in works)
        assert 3 < many / few < 20
        mix = Mix([few, many], SHARES)
        rate = 0.4 / mix.mean
        taken = clients.openLoop(server, rate, 0.8, [clients.WORK % work for work in works], SHARES)
    # On a busy machine less than the asked for comes, or later.
    told = simulate(taken.rate, mix, count=50_000)
    assert 0.5 < told.busy / taken.busy < 2


def test_aServerThatIsWrong() -> None:
    """
    It gives no figures.
    """
    serverCore, loadCore = twoCores()
    with pinnedTo(loadCore), serving(_server("working"), serverCore) as server:
        server.connect().close()
        for ask in (
            lambda: clients.openLoop(server, 1000, 0.05, [b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n"], [1.0]),
            lambda: clients.closing(server, clients.opening(), 1),
            lambda: clients.idle(server, clients.opening(header=clients.PROXY), 1, 1, 0),
        ):
            with pytest.raises((Failed, ConnectionError)):
                ask()


def test_theKernelsPart() -> None:
    """
    An object that this kernel does not name counts as it is usual.
    """
    assert kernelBytes({"no such object": 100, "nor this": 11}) == 111
    assert 2000 < REPORT["memory"]["kernel"] < 10_000


def costs(**given: float) -> dict[str, Any]:
    """
    Figures by which one can reckon in the head.
    """
    names = ("request", "requestAlone", "tls", "log", "connection", "connectionAlone", "proxy", "handshake", "message")
    memory = {"worker": 0, "connection": 1000, "tls": 10_000, "webSocket": 3000, "kernel": 1000, "tracked": 92}
    return {"costs": {**dict.fromkeys(names, 0.0), **given}, "memory": memory, "line": 100}


def test_cores() -> None:
    machine = Machine(cores=4, busy=0.5)
    report = costs(request=10, requestAlone=30, handshake=1000, log=5, tls=7)
    # 20 at a half, and the rest as it is.
    plan = Plan(Load(requests=100_000, new=1000, tls=True), report, machine)
    assert plan.seconds == pytest.approx((100_000 * (20 + 7 + 5) + 1000 * 1000) / 1e6)
    assert (plan.cores, plan.bound, plan.machines, plan.workers) == (9, "cores", 3, 3)
    plan = Plan(Load(requests=100_000, new=1000, log=False, app=100), report, machine)
    assert plan.seconds == pytest.approx(100_000 * 120 / 1e6)


def test_memory() -> None:
    load = Load(connections=1_000_000, new=10_000, tls=True)
    plan = Plan(load, costs(), Machine(memory=8 * GIB))
    assert plan.tracked == 1_000_000 + 120 * 10_000
    assert plan.memory == 1_000_000 * 11_000 + plan.tracked * 100
    assert (plan.bound, plan.machines) == ("memory", 2)
    assert Plan(Load(webSockets=1000), costs()).memory == 1000 * 4100


def test_whatBreaksFirst() -> None:
    """
    The nearest to its bound comes first, and a bound is one from both sides.
    """
    load = Load(requests=1, connections=PORTS, proxied=True, burst=0)
    needs = {each.name: each for each in Plan(load, costs(), Machine(cores=1)).needs()}
    ports = needs["ports of one balancer to one machine"]
    assert ports.part == 1
    assert "1 addresses" in ports.setting
    more = Plan(replace(load, connections=2 * PORTS), costs(), Machine(cores=1)).needs()
    assert more[0].name == "connections of a worker"
    assert "connections=131072" in more[0].setting
    parts = [each.part for each in more]
    assert parts == sorted(parts, reverse=True)
    # Rate x time, or a restart of what is in front.
    for given, queue in (
        (Load(new=50_000, connections=10, stall=0.1), 5000),
        (Load(connections=10_000, burst=0.5), 5000),
    ):
        found = {each.name: each for each in Plan(given, costs(), Machine(cores=1)).needs()}
        assert found["accept queue of the port"].need == queue
        assert "somaxconn=8192" in found["accept queue of the port"].setting


@pytest.mark.parametrize(("need", "told"), [(1, 1024), (768, 1024), (769, 2048), (100_000, 262_144)])
def test_upTo(need: int, told: int) -> None:
    assert upTo(need) == told


def test_theLogsDisk() -> None:
    plan = Plan(Load(requests=1000), costs(), Machine(days=2, disk=100e9))
    assert plan.log == 86_400 * 1000 * 100
    (disk,) = [each for each in plan.needs() if each.name == "disk of the access log"]
    assert (disk.need, disk.has) == (pytest.approx(17.28), 100)


def test_tenTimesIsTenTimes() -> None:
    """
    What a load of the page's needs grows with it.
    """
    for load in (asking, waiting):
        one, ten = (Plan(load(count), REPORT) for count in (10_000_000, 100_000_000))
        assert ten.cores == pytest.approx(10 * one.cores, rel=0.05)
        assert ten.memory == pytest.approx(10 * one.memory, rel=0.05)
        assert 10 * (one.machines - 1) < ten.machines <= 10 * one.machines


def test_thePage() -> None:
    """
    Its figures are those of the kept file: python -m benchmarks.capacity --page writes them.
    """
    page = PAGE.read_text(encoding="utf-8")
    assert page == pages.renew(page, REPORT)
    assert (PAGE.parent / pages.PICTURE).exists()
    with pytest.raises(Failed, match="0 parts machine"):
        pages.renew(page.replace("<!-- end of machine -->", ""), REPORT)


@pytest.mark.parametrize(
    ("value", "told"), [(99.4, "99"), (99.6, "100"), (100.4, "100"), (0.0123, "0.012"), (12_345.6, "12,346")]
)
def test_noExponents(value: float, told: str) -> None:
    """
    Figures are written as people write them.
    """
    assert pages.size(value) == told


def test_theCommand(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--requests", "1e6", "--connections", "3e6", "--new", "5e4", "--tls", "--cores", "16"]) == 0
    told = capsys.readouterr().out
    assert re.search(r"^machines +[0-9]+, because of cores; 16 workers on each$", told, re.MULTILINE)
    assert "connections of a worker: others wait in the accept queue. Set: --limits connections=" in told
    assert main(["--requests", "1", "--inputs", "/nowhere"]) == 1
    for wrong in ([], ["--requests", "-1"], ["--requests", "inf"], ["--busy", "1", "--requests", "1"]):
        with pytest.raises(SystemExit):
            main(wrong)
