"""
The guest by itself, and whatever a script may ask its host for.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from tests.support import more
from wasinet_twisted.errors import GuestEnded, InvalidArgument
from wasinet_twisted.javascript import GuestLimits, Program
from wasinet_twisted.javascript.guestinterface import Given, Guest, Sign, Value
from wasinet_twisted.javascript.sandbox import BYTES, LEAVE, STRING, Sandbox
from wasinet_twisted.javascript.settings import Network

from .programs import Ran
from .support import needsEngine

pytestmark = needsEngine

FUZZ = Path(__file__).parent / "fuzz.js"


class Told:
    """
    A L{Host<wasinet_twisted.javascript.guestinterface.Host>} that keeps what it is asked for.
    """

    def __init__(self) -> None:
        self.asked: list[tuple[int, float, float, Given]] = []
        self.said: list[str] = []
        self.answer: Any = None

    def call(self, operation: int, a: float, b: float, data: Given) -> Value:
        self.asked.append((operation, a, b, data))
        answer: Value = self.answer(data) if callable(self.answer) else self.answer
        if isinstance(answer, ZeroDivisionError):
            raise answer
        return answer

    def resolve(self, base: str, name: str) -> str:
        return f"{base}>{name}"

    def load(self, name: str) -> str:
        if "none" in name:
            raise InvalidArgument("there is none")
        return f"export default {name!r}"

    def messageOf(self, error: BaseException) -> str:
        return str(error)

    def rejected(self, promise: float, text: str) -> None:
        self.said.append(f"rejected {text.splitlines()[0]}")

    def handled(self, promise: float) -> None:
        self.said.append("handled")

    def uncaught(self, text: str, interrupted: bool) -> None:
        self.said.append(f"uncaught {text.splitlines()[0]} {interrupted}")


class GuestTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.host = Told()
        self.guest: Guest = Sandbox(self.host, GuestLimits(turn=0.5))
        self.addCleanup(self.guest.close)
        self.run_("globalThis.host = __host; __hook((...given) => { globalThis.given = given })")

    def run_(self, source: str, module: bool = False) -> bool:
        return self.guest.evaluate("test.js", source, module)

    def ask(self, expression: str) -> Given:
        """
        Return an expression's text.
        """
        answer, self.host.answer = self.host.answer, None
        self.run_(f"host(99, 0, 0, String({expression}))")
        self.host.answer = answer
        return self.host.asked.pop()[3]

    def test_arguments(self) -> None:
        self.run_(
            "host(1); host(2, 1.5); host(3, 1, -2); host(4, 0, 0, 'ž\\0\\ud800'); host(5, 0, 0, new ArrayBuffer(2))"
        )
        self.run_("host(6, 0, 0, new Uint8Array([1, 2, 3, 4]).subarray(1, 3)); host(7, NaN, Infinity, undefined)")
        asked = self.host.asked
        self.assertEqual(
            asked[:6],
            [
                (1, 0, 0, None),
                (2, 1.5, 0, None),
                (3, 1, -2, None),
                (4, 0, 0, "ž\0\ud800"),
                (5, 0, 0, b"\0\0"),
                (6, 0, 0, b"\2\3"),
            ],
        )
        self.assertEqual(str(asked[6]), "(7, nan, inf, None)")

    def test_answers(self) -> None:
        for answer, expected in (
            (None, "undefined undefined"),
            (Sign.NULL, "object null"),
            (True, "boolean true"),
            (False, "boolean false"),
            (7, "number 7"),
            (2**40, "number 1099511627776"),
            (-1.5, "number -1.5"),
            ("ž\0x", "string ž\0x"),
            ("\ud800", "string \ud800"),
            ("", "string "),
            (b"abc", "object [object ArrayBuffer]"),
            (b"", "object [object ArrayBuffer]"),
        ):
            self.host.answer = answer
            self.run_("globalThis.answer = host(1)")
            self.assertEqual(self.ask("typeof answer + ' ' + answer"), expected)

    def test_large(self) -> None:
        """
        From both sides of what the stage takes.
        """
        for size in (65535, 65536, 65537, 1 << 20):
            for data in ("x" * size, bytes(range(256)) * (size // 256) + b"y" * (size % 256)):
                self.host.answer = lambda given: given
                self.host.asked.clear()
                code = "host(2, 0, 0, host(1))"
                self.host.answer = data
                self.run_(code)
                self.assertEqual(self.host.asked[1][3], data)

    def test_noRoom(self) -> None:
        """
        What is larger than the script's memory is an Error.
        """
        self.host.answer = b"x" * (80 << 20)
        self.run_("try { host(1) } catch (e) { globalThis.answer = e }")
        self.assertEqual(
            self.ask("answer"), "Error: out of memory: there is no room for 83886080 bytes in the script's"
        )
        self.guest.settle(3, self.host.answer)
        self.assertIn("out of memory", str(self.ask("given")))
        self.assertLessEqual(self.guest.memory(), (64 << 20) + (8 << 20))

    def test_whatIsFreedIsUsedAgain(self) -> None:
        """
        Also by what is larger or smaller: a peer that varies the sizes of its messages can't use up the memory.
        """
        self.run_(
            """
            for (let round = 0; round < 40; round++) {
                new ArrayBuffer(9e6 + round * 100003);
                let kept = [];
                for (let i = 0; i < 300; i++) kept.push(new ArrayBuffer(30000 + i * 7 * round));
            }
            """
        )
        # At a time 13 MB, or 30 MB of small ones, were held.
        self.assertLess(self.guest.memory(), 48 << 20)

    def test_fullMemoryIsAnError(self) -> None:
        """
        Whatever fills it, there is room to say so, time after time: never is null thrown.
        """
        self.guest = Sandbox(self.host, GuestLimits(memory=2 << 20, turn=10.0))
        self.addCleanup(self.guest.close)
        self.run_("globalThis.host = __host")
        for piece in ("[1]", "{ a: 1 }", "'x' + kept.length + 'y'", "() => kept", "new Uint8Array(500)", "/a/"):
            self.run_(
                f"""
                globalThis.answer = ''
                for (let i = 0; i < 5; i++) {{
                    let kept = []
                    try {{ for (;;) kept.push({piece}) }} catch (e) {{ globalThis.answer += `${{e}};` }}
                }}
                """
            )
            self.assertEqual(self.ask("globalThis.answer"), "InternalError: out of memory;" * 5, piece)
            self.assertLessEqual(self.guest.memory(), (2 << 20) + (8 << 20))

    def test_raises(self) -> None:
        self.host.answer = ZeroDivisionError("no")
        self.run_("try { host(1) } catch (e) { globalThis.answer = e }")
        self.assertEqual(self.ask("answer instanceof Error && answer.message"), "no")

    def test_settle(self) -> None:
        for value, expected in (
            (None, "3,false,"),
            ("x", "3,false,x"),
            (b"", "3,false,[object ArrayBuffer]"),
            (ValueError("no"), "3,true,Error: no"),
        ):
            self.assertFalse(self.guest.settle(3, value))
            self.assertEqual(self.ask("given"), expected)

    def test_modules(self) -> None:
        self.run_("import x from 'a'; host(1, 0, 0, x); import('none').catch(e => host(2, 0, 0, String(e)))", True)
        self.assertEqual([each[3] for each in self.host.asked], ["test.js>a", "Error: there is none"])

    def test_errors(self) -> None:
        self.run_("throw 1")
        self.run_("{")
        self.run_("Promise.reject(2)")
        self.run_("const p = Promise.reject(3); Promise.resolve().then(() => p.catch(() => 1))")
        self.run_("for (;;);")
        self.assertEqual(
            self.host.said,
            [
                "uncaught 1 False",
                "uncaught SyntaxError: unexpected token in expression: '' False",
                "rejected 2",
                "rejected 3",
                "handled",
                "uncaught InternalError: interrupted True",
            ],
        )

    def test_slices(self) -> None:
        """
        Jobs don't keep the host from its turn, nor are those that are short interrupted since others took long.
        """
        self.assertTrue(self.run_("(function again() { Promise.resolve().then(again) })()"))
        self.assertTrue(self.guest.jobs())
        self.run_(
            "globalThis.ran = 0\n"
            "function job() { const t = Date.now(); while (Date.now() < t + 30); ran++ }\n"
            "for (let i = 0; i < 30; i++) Promise.resolve().then(job)"
        )
        for _ in range(100):
            if self.ask("ran") == "30":
                break
            self.guest.jobs()
        self.assertEqual((self.ask("ran"), self.host.said), ("30", []))

    def test_collects(self) -> None:
        """
        What an interrupted turn held goes, though nothing else runs the collector.
        """
        self.run_("globalThis.gone = new FinalizationRegistry(() => host(5))")
        self.assertTrue(self.run_("(() => { const it = {}; it.it = it; gone.register(it); for (;;); })()"))
        self.assertEqual(self.host.asked, [])
        self.assertFalse(self.guest.jobs())
        self.assertEqual([each[0] for each in self.host.asked], [5])

    def test_droppedAtOnce(self) -> None:
        """
        What the last reference has gone from is told in the same turn.
        """
        self.run_("globalThis.gone = new FinalizationRegistry(() => host(5)); globalThis.it = {}; gone.register(it)")
        self.assertEqual(self.host.asked, [])
        self.run_("it = null")
        self.assertEqual([each[0] for each in self.host.asked], [5])

    def test_ended(self) -> None:
        """
        A call that nothing can interrupt ends it. From then on everything says why.
        """
        guest = Sandbox(self.host, GuestLimits(turn=0.01))
        why = "it took more than twice the time of a turn: wasm trap: interrupt"
        code = "const q = 'a'.repeat(2 ** 20); for (let i = 0; ; i++) (q + i).indexOf('b')"
        error = self.assertRaises(GuestEnded, guest.evaluate, "x.js", code)
        self.assertEqual(str(error), why)
        for call, arguments in (
            (guest.jobs, ()),
            (guest.collect, ()),
            (guest.usage, ()),
            (guest.memory, ()),
            (guest.settle, (1, b"x" * 100_000)),
            (guest.evaluate, ("x.js", "1")),
        ):
            error = self.assertRaises(GuestEnded, call, *arguments)
            self.assertEqual(str(error), why)
        guest.close()
        guest.close()
        self.assertEqual(str(self.assertRaises(GuestEnded, guest.jobs)), "the program has ended")

    def test_outOfItsMemory(self) -> None:
        """
        A guest whose own code was broken can't name what isn't in its memory.
        """
        fresh = Sandbox(self.host)
        self.addCleanup(fresh.close)
        size = fresh.memory()
        for at, count in ((size, 1), (size - 1, 2), (0, size + 1), (2**32 - 1, 2**32 - 1)):
            for kind in (STRING, BYTES):
                guest = Sandbox(self.host)
                self.addCleanup(guest.close)
                self.host.asked.clear()
                call = SimpleNamespace(operation=1, a=0, b=0, kind=kind, data=at, size=count)
                self.assertEqual(guest._answerTo(call), LEAVE)
                self.assertEqual(self.host.asked, [])
                error = self.assertRaises(GuestEnded, guest.jobs)
                self.assertEqual(str(error), f"it named {count} bytes at {at}, where its memory has {size}")
        guest = Sandbox(self.host)
        self.addCleanup(guest.close)
        guest._answerTo(SimpleNamespace(operation=1, a=0, b=0, kind=BYTES, data=size - 1, size=1))
        self.assertEqual(len(str(self.host.asked[-1][3])), len("b'0'") + 3)
        # What bigBox gives is no address of it either.
        guest._size = 1
        self.patch(guest._memory.__class__, "data_len", lambda *_: 1)
        self.assertRaises(GuestEnded, guest.settle, 1, b"x" * 100_000)

    def test_grown(self) -> None:
        """
        The memory that a guest has got since it began is its own.
        """
        before = self.guest.memory()
        self.run_("globalThis.kept = 'x'.repeat(8 << 20) + 'y'; host(1, 0, 0, kept)")
        self.assertGreater(self.guest.memory(), before)
        self.assertEqual(len(self.host.asked[-1][3] or ""), (8 << 20) + 1)

    def test_apart(self) -> None:
        """
        Two guests have nothing in common.
        """
        other = Sandbox(Told())
        self.addCleanup(other.close)
        self.run_("globalThis.mine = 1")
        other.evaluate("x.js", "if (typeof mine !== 'undefined') throw 1")
        self.assertEqual(self.ask("mine"), "1")

    def test_fork(self) -> None:
        """
        After a fork, limits hold in the child: its clock is another one.
        """
        code = (
            "import os\n"
            "from wasinet_twisted.javascript import GuestLimits\n"
            "from wasinet_twisted.javascript.sandbox import Sandbox\n"
            "from tests.javascript.test_sandbox import Told\n"
            "Sandbox(Told())\n"
            "if os.fork():\n"
            "    os._exit(os.waitstatus_to_exitcode(os.wait()[1]))\n"
            "guest = Sandbox(Told(), GuestLimits(turn=0.05))\n"
            "code = \"const q = 'a'.repeat(2 ** 20); for (let i = 0; ; i++) (q + i).indexOf('b')\"\n"
            "try:\n"
            "    guest.evaluate('x.js', code)\n"
            "except Exception as error:\n"
            "    os._exit(7 if 'interrupt' in str(error) else 8)\n"
            "os._exit(9)\n"
        )
        self.assertEqual(subprocess.run([sys.executable, "-c", code], timeout=30, env=os.environ).returncode, 7)

    def test_limits(self) -> None:
        for wrong in ({"memory": 0}, {"memory": 1.5}, {"memory": 1 << 32}, {"turn": 0}, {"turn": "1"}, {"turn": 1e9}):
            self.assertRaises(InvalidArgument, GuestLimits, **wrong)


class FuzzTests(SynchronousTestCase):
    """
    A script may ask its host for anything: it gets a value, or an Error with a message of ours.
    """

    def test_host(self) -> None:
        # Else it ends soon, by itself or since it has cancelled its timer.
        self.patch(Program, "_exit", lambda *_: None)
        self.patch(Program, "_look", lambda *_: None)
        self.patch(Program, "_look", lambda *_: None)
        for seed in range(1, 1 + more(1, 100)):
            clock: Any = MemoryReactorClock()
            network = Network(allowNet=["127.0.0.1", "::1"])
            ran = Ran(
                self, "setInterval(() => {}, 1e6)", reactor=clock, network=network, failOnUnhandled=False, turn=60.0
            )
            enter, evaluate = ran.program._entries.enter, ran.program.guest.evaluate
            # What has the name of a module of ours may import what reaches out.
            enter(evaluate, "wasinet:util", FUZZ.read_text().replace("SEED", str(seed)))
            for _ in range(10):
                enter(evaluate, "fuzz.js", "fuzz(150)", False)
                for _ in range(3):
                    clock.advance(0.01)
            counts = [json.loads(line) for line in ran.lines if line.startswith('{"value"')]
            self.assertEqual(len(counts), 10, ran.said)
            self.assertGreater(counts[-1]["value"], 50)
            self.assertGreater(counts[-1]["error"], 500)
            self.assertEqual([each for each in ran.said if each.startswith("Uncaught")], [])
            self.assertIsNone(ran.code)
            ran.stop()
            self.assertEqual(self.flushLoggedErrors(), [])
