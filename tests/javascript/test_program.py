"""
A program from its first line to its end: what it waits for, what goes wrong, and what its modules give it.
"""

from __future__ import annotations

import gc
import weakref
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from wasinet_twisted.errors import GuestEnded, InvalidArgument, LimitExceeded
from wasinet_twisted.javascript import GuestLimits, Program, handles, timers, waits
from wasinet_twisted.javascript.entries import Entries
from wasinet_twisted.javascript.guestinterface import Value
from wasinet_twisted.javascript.waits import Waits
from wasinet_twisted.net.tasks.awaited import Awaited

from .programs import Ran
from .support import needsEngine

pytestmark = needsEngine


class EndTests(SynchronousTestCase):
    """
    A program ends when nothing is pending.
    """

    def test_nothing(self) -> None:
        ran = Ran(self, "print('one', 2, null, [3, 4])")
        self.assertEqual(ran.printed, "one 2 null 3,4\n")
        self.assertIsNone(ran.code)
        ran.end()
        self.assertEqual((ran.code, ran.said), (0, []))
        self.assertRaises(GuestEnded, ran.program.guest.jobs)

    def test_timers(self) -> None:
        ran = Ran(
            self,
            """
            setTimeout((...given) => print('b', given), 20, 1, 2)
            setTimeout(() => print('a'), 10)
            setImmediate(() => print('now'))
            const never = setTimeout(() => print('never'), 5)
            clearTimeout(never)
            clearTimeout(never)
            clearTimeout(undefined)
            let count = 0
            const each = setInterval(() => { print('tick'); if (++count === 3) clearInterval(each) }, 8)
            """,
        )
        for _ in range(24):
            ran.clock.advance(0.001)
        self.assertEqual(ran.lines, ["now", "tick", "a", "tick", "b 1,2", "tick"])
        self.assertEqual(ran.end().code, 0)
        self.assertEqual(ran.clock.getDelayedCalls(), [])

    def test_timersOfAnyTime(self) -> None:
        ran = Ran(
            self,
            """
            for (const ms of [NaN, -1, 'x', undefined, null]) setTimeout(() => print(ms), ms)
            const kept = [Infinity, 2 ** 40].map(ms => setTimeout(() => print('never'), ms))
            for (const call of [undefined, 'print(1)', {}]) try { setTimeout(call, 1) } catch (e) { print(e.name) }
            setTimeout(() => kept.forEach(clearTimeout), 1)
            """,
        )
        ran.clock.advance(0)
        ran.clock.advance(0.002)
        self.assertEqual(ran.lines, ["TypeError"] * 3 + ["NaN", "-1", "x", "undefined", "null"])
        self.assertEqual(ran.end().code, 0)

    def test_exit(self) -> None:
        """
        Nothing of the script runs after it, whatever is pending.
        """
        ran = Ran(
            self,
            """
            import { exit } from 'process'
            setTimeout(() => print('later'), 0)
            Promise.resolve().then(() => print('job'))
            try { print('before'); exit(7) } catch { print('caught') } finally { print('finally') }
            print('after')
            """,
        )
        self.assertEqual((ran.end().code, ran.printed, ran.said), (7, "before\n", []))

    def test_exitInAModule(self) -> None:
        files = {"x.js": "import { exit } from 'process'; exit(3)"}
        ran = Ran(self, "await import('./x.js').catch(e => print('caught')); print('after')", files=files)
        self.assertEqual((ran.end().code, ran.printed, ran.said), (3, "", []))

    def test_exitInAJob(self) -> None:
        ran = Ran(self, "import { exit } from 'process'; await null; (async () => { exit() })(); print('after')")
        self.assertEqual((ran.end().code, ran.printed, ran.said), (0, "", []))

    def test_exitCodes(self) -> None:
        ran = Ran(
            self,
            """
            import { exit } from 'process'
            for (const code of [-1, 256, NaN, 1.5]) try { exit(code) } catch (e) { print(e) }
            """,
        )
        self.assertEqual(
            ran.lines,
            [f"Error: an exit code must be a whole number from 0 to 255, not {c}" for c in ("-1", "256", "nan", "1.5")],
        )
        self.assertEqual(ran.end().code, 0)

    def test_stop(self) -> None:
        ran = Ran(self, "setTimeout(() => print('never'), 1000)")
        ran.program.done.cancel()
        assert isinstance(ran.code, Failure)
        ran.code.trap(CancelledError)
        self.assertEqual((ran.clock.getDelayedCalls(), ran.printed), ([], ""))

    def test_stoppedFromInside(self) -> None:
        """
        Whoever the script has called may stop it: the engine goes when the script has returned.
        """
        ran = Ran(self, "1").end()
        ran.script.write_text("for (let i = 0; i < 1e4; i++) print('x'.repeat(100)); setTimeout(() => {}, 1e6)")
        told: list[str] = []

        def output(text: str) -> None:
            told.append(text)
            program.stop()

        program = Program(ran.script, output=output, complain=told.append, reactor=ran.clock)
        done = program.run()
        ran.clock.advance(0)
        self.assertEqual(self.successResultOf(done), 0)
        self.assertRaises(GuestEnded, program.guest.jobs)

    def test_nothingIsLeft(self) -> None:
        """
        A program that has ended is gone.
        """
        script = Ran(self, "print('x')").script
        clock = Clock()
        made = Program(script, output=print, complain=print, reactor=clock)
        done = made.run()
        clock.advance(0)
        self.assertEqual(self.successResultOf(done), 0)
        program = weakref.ref(made)
        del made, done
        gc.collect()
        self.assertIsNone(program())

    def test_outputFails(self) -> None:
        """
        A program whose output can't be written ends, and says why.
        """

        class Full(Ran):
            def _print(self, text: str) -> None:
                raise OSError(28, "full")

        ran = Full(self, "for (let i = 0; i < 1e5; i++) print('x'.repeat(100)); setTimeout(() => {}, 1e6)")
        assert isinstance(ran.end().code, Failure)
        ran.code.trap(OSError)


class UnhandledTests(SynchronousTestCase):
    """
    What nobody catches is told with its stack, and fails the program.
    """

    def test_rejection(self) -> None:
        ran = Ran(
            self,
            "setTimeout(() => print('x'), 1)\nfunction broken() { throw new Error('no') }\n(async () => broken())()",
        )
        self.assertEqual(ran.code, 1)
        self.assertEqual(len(ran.said), 1)
        self.assertRegex(
            ran.said[0],
            r"\AUnhandled rejection: Error: no\n    at broken \(main\.js:2:\d+\)\n    at .*\(main\.js:3:\d+\)",
        )
        self.assertEqual(ran.clock.getDelayedCalls(), [])

    def test_thrown(self) -> None:
        for source in (
            "throw new Error('no')",
            "await null; throw new Error('no')",
            "null.x",
            "import './none.js'",
            "{",
        ):
            ran = Ran(self, source)
            self.assertEqual(ran.end().code, 1, source)
            self.assertEqual(len(ran.said), 1, source)

    def test_inTimers(self) -> None:
        ran = Ran(self, "setTimeout(() => { throw new TypeError('no') }, 1)")
        ran.clock.advance(0.001)
        self.assertEqual(ran.code, 1)
        self.assertIn("Uncaught TypeError: no\n", ran.said[0])

    def test_handledInTime(self) -> None:
        """
        What is handled in the same entry, by a later job, is handled.
        """
        ran = Ran(
            self,
            """
            const rejected = Promise.reject(new Error('no'))
            for (let i = 0; i < 100; i++) await null
            rejected.catch(e => print('caught', e))
            """,
        )
        self.assertEqual((ran.end().code, ran.printed, ran.said), (0, "caught Error: no\n", []))

    def test_warn(self) -> None:
        ran = Ran(self, "Promise.reject(1); setTimeout(() => { print('on'); null.x }, 1)", failOnUnhandled=False)
        ran.clock.advance(0.001)
        self.assertEqual((ran.end().code, ran.printed, len(ran.said)), (0, "on\n", 2))

    def test_whileJobsAreEndless(self) -> None:
        """
        They don't put it off for ever.
        """
        ran = Ran(self, "Promise.reject(1); for (;;) await null")
        ran.end()
        self.assertEqual((ran.code, ran.said), (1, ["Unhandled rejection: 1"]))

    def test_anyError(self) -> None:
        """
        Whatever is thrown, something is said of it.
        """
        for thrown, said in {
            "null": "Uncaught null",
            "undefined": "Uncaught undefined",
            "'text'": "Uncaught text",
            "Symbol('x')": "Uncaught an error that has no text",
            "{ toString() { throw 1 } }": "Uncaught an error that has no text",
            "Object.create(null)": "Uncaught an error that has no text",
            "'x\\0y'": "Uncaught x\0y",
        }.items():
            ran = Ran(self, f"setTimeout(() => {{ throw {thrown} }})")
            ran.clock.advance(0)
            self.assertEqual((ran.said, ran.end().code), ([said], 1))

    def test_many(self) -> None:
        """
        Not all of them are kept.
        """
        ran = Ran(self, "for (let i = 0; i < 5000; i++) Promise.reject(i)", failOnUnhandled=False)
        self.assertEqual((len(ran.said), ran.said[-1]), (1002, "and 3999 more errors that nobody has handled"))

    def test_long(self) -> None:
        ran = Ran(self, "Promise.reject('x'.repeat(1e6)); setTimeout(() => { throw 'y'.repeat(1e6) })")
        self.assertEqual([len(each) for each in ran.said], [len("Unhandled rejection: ") + 10_000])


class EndedTests(SynchronousTestCase):
    """
    What no limit of the engine's own stops ends the program.
    """

    def test_nativeCalls(self) -> None:
        ran = Ran(
            self,
            """
            setTimeout(() => print('never'), 1e6)
            await 0
            print('begun')
            const q = 'a'.repeat(2 ** 20)
            for (let i = 0; ; i++) (q + i).indexOf('b')
            """,
            turn=0.05,
        )
        why = "it took more than twice the time of a turn: wasm trap: interrupt"
        self.assertEqual((ran.code, ran.printed, ran.said), (1, "begun\n", [f"the program was ended: {why}"]))
        self.assertEqual(ran.clock.getDelayedCalls(), [])

    def test_interruptedModule(self) -> None:
        """
        A module that is interrupted is one, too, though its promise is rejected.
        """
        files = {"loop.js": "for (;;);"}
        ran = Ran(
            self, "setTimeout(() => import('./loop.js')); setTimeout(() => print('on'), 1)", turn=0.05, files=files
        )
        ran.clock.advance(0)
        ran.clock.advance(0.001)
        self.assertEqual((ran.end().code, ran.printed), (1, "on\n"))
        self.assertEqual([each.splitlines()[0] for each in ran.said], ["Uncaught InternalError: interrupted"])

    def test_noMemoryForTheSource(self) -> None:
        ran = Ran(self, f"// {'x' * (12 << 20)}", limits=GuestLimits(memory=1 << 20))
        self.assertEqual((ran.end().code, len(ran.said)), (1, 1))
        self.assertRegex(ran.said[0], "out of memory")


class WaitTests(SynchronousTestCase):
    """
    What a program waits for, by itself.
    """

    def setUp(self) -> None:
        self.settled: list[tuple[int, Value]] = []
        self.waits = Waits(lambda number, value: self.settled.append((number, value)))

    def test_now(self) -> None:
        self.assertEqual(self.waits.answer(1, succeed("x")), "x")
        self.assertEqual(self.waits.answer(1, succeed(3), lambda given: given + 1), 4)
        self.assertRaises(ZeroDivisionError, self.waits.answer, 1, fail(ZeroDivisionError()))
        self.assertEqual((len(self.waits), self.settled), (0, []))

    def test_later(self) -> None:
        """
        As Twisted's Deferreds, and as ours, which resume whoever waits.
        """
        for kind in (Deferred, Awaited):
            for number in (1, 2, 3):
                waiting: Any = kind()
                self.assertIsNone(self.waits.answer(number, waiting, (lambda given: 1 / given) if number < 3 else None))
                self.assertEqual(len(self.waits), 1)
                if number == 1:
                    waiting.callback(4) if kind is Deferred else waiting.give(4)
                elif number == 2:
                    waiting.callback(0) if kind is Deferred else waiting.give(0)
                else:
                    error = ValueError("no")
                    waiting.errback(error) if kind is Deferred else waiting.fail(error)
            (_, first), (_, second), (_, third) = self.settled
            self.assertEqual((first, type(second), third), (0.25, ZeroDivisionError, error))
            self.assertEqual(len(self.waits), 0)
            self.settled.clear()

    def test_numbers(self) -> None:
        """
        Each is somebody's.
        """
        self.waits.answer(7, Deferred())
        for number in (7, 0, -1, float("nan"), 2.0**31, float("inf")):
            refused: Deferred[None] = Deferred()
            self.assertRaises(InvalidArgument, self.waits.answer, number, refused)
            self.assertTrue(refused.called)

    def test_many(self) -> None:
        self.patch(waits, "MOST", 3)
        for number in (1, 2, 3):
            self.waits.answer(number, Deferred())
        refused: Deferred[None] = Deferred()
        self.assertRaises(LimitExceeded, self.waits.answer, 4, refused)
        self.assertTrue(refused.called)

    def test_forget(self) -> None:
        kept: Deferred[None] = Deferred()
        self.waits.answer(1, kept)
        self.waits.forget()
        self.assertEqual((kept.called, len(self.waits), self.settled), (True, 0, []))


class EntryTests(SynchronousTestCase):
    """
    One entry after the other.
    """

    def test_inside(self) -> None:
        """
        What is to enter meanwhile, enters afterwards; and not without end before others have their turn.
        """
        clock = Clock()
        order: list[int] = []

        def enter(number: int) -> bool:
            if number < 200:
                entries.enter(enter, number + 1)
            order.append(number)
            return False

        entries = Entries(clock, lambda _: None, self.fail)
        entries.goOnWith(lambda: False)
        entries.enter(enter, 0)
        self.assertEqual(order, list(range(65)))
        self.assertFalse(entries.idle)
        entries.enter(order.append, -1)
        while not entries.idle:
            clock.advance(0)
        self.assertEqual([each for each in order if each >= 0], list(range(201)))
        self.assertEqual(order.count(-1), 1)

    def test_fails(self) -> None:
        """
        Then there is no other one.
        """
        errors: list[Exception] = []
        entries = Entries(Clock(), self.fail, errors.append)

        def broken() -> bool:
            entries.enter(self.fail)
            raise ValueError("no")

        entries.enter(broken)
        entries.enter(self.fail)
        self.assertEqual([str(each) for each in errors], ["no"])
        self.assertTrue(entries.idle)


class BoundTests(SynchronousTestCase):
    """
    What a program has of ours is counted.
    """

    def test_handles(self) -> None:
        self.patch(handles, "MOST", 2)
        gone: list[object] = []
        held = handles.Handles()
        self.assertEqual([held.keep("a", gone.append), held.keep(b"b", gone.append)], [1, 2])
        self.assertRaises(LimitExceeded, held.keep, "c", gone.append)
        self.assertEqual(gone, ["c"])
        held.dropEach([1, 1, float("nan")])
        self.assertEqual((gone, held.keep("d", gone.append), len(held)), (["c", "a"], 3, 2))
        self.assertEqual(held.get(3.0, str), "d")
        for number, kind in ((1, str), (2, str), (3.5, str), (float("nan"), str)):
            self.assertRaises(InvalidArgument, held.get, number, kind)
        held.dropAll()
        self.assertEqual(len(held), 0)

    def test_timers(self) -> None:
        self.patch(timers, "MOST", 3)
        ran = Ran(
            self,
            """
            const all = []
            try { for (;;) all.push(setTimeout(() => {}, 5)) } catch (e) { print(all.length, e.message) }
            """,
        )
        self.assertEqual(ran.lines, ["3 a program may have 3 timers at a time"])
        ran.clock.advance(0.005)
        self.assertEqual(ran.end().code, 0)


class CallTests(SynchronousTestCase):
    """
    An excerpt has no imports and no call.
    """

    def test_call(self) -> None:
        ran = Ran(self, "async function f() { print(typeof net.connect, typeof http.Buffer) }", call="f")
        self.assertEqual((ran.end().code, ran.lines), (0, ["function function"]))

    def test_missing(self) -> None:
        ran = Ran(self, "1", call="f")
        self.assertEqual(ran.end().code, 1)
        self.assertIn("ReferenceError: f is not defined", ran.said[0])

    def test_noFunction(self) -> None:
        for name in ("f()", "1f", "a.b", "f\n", ""):
            ran = Ran(self, "1")
            self.assertRaises(InvalidArgument, ran.program.callFunction, name)


class ModuleTests(SynchronousTestCase):
    """
    What import finds.
    """

    def test_files(self) -> None:
        """
        Of the script's folder and below, relative to the file that imports, once each.
        """
        ran = Ran(
            self,
            """
            import { a } from './lib/a.js'
            import { b } from './b.js'
            print(a, b, (await import('./lib/a.js')).a === a)
            """,
            files={
                "lib/a.js": "import { b } from '../b.js'; export const a = ['a', b]",
                "b.js": "print('b runs'); export const b = 'b'",
            },
        )
        self.assertEqual((ran.end().code, ran.lines), (0, ["b runs", "a,b b true"]))

    def test_refused(self) -> None:
        outside = Ran(self, "1").script
        for name in (
            "../x.js",
            "./../../etc/passwd",
            str(outside),
            "file:///etc/passwd",
            "https://example.org/x.js",
            "fs",
            "os",
            "std",
            "wasinet:bridge",
            "wasinet:globals",
            "./wasinet:bridge",
            "./none.js",
            "./lib",
            "",
            ".",
            "./x\\0.js",
            "./" + "x" * 5000,
            "main.js",
        ):
            ran = Ran(self, f"await import({name!r}).then(() => print('found'), e => print(e))", files={"lib/a.js": ""})
            self.assertEqual(ran.end().code, 0, name)
            self.assertTrue(ran.printed.startswith("Error: there is no module"), (name, ran.printed))

    def test_links(self) -> None:
        """
        A link is what it leads to.
        """
        other = Ran(self, "export const secret = 1").script
        ran = Ran(
            self, "await import('./inside.js'); await import('./outside.js').catch(e => print(e))", name="none.js"
        )
        folder = ran.script.parent
        (folder / "real.js").write_text("print('inside')")
        (folder / "inside.js").symlink_to("real.js")
        (folder / "outside.js").symlink_to(other)
        (folder / "folder").symlink_to(other.parent)
        (folder / "circle.js").symlink_to("circle.js")
        ran.script.write_text(
            "await import('./inside.js'); await import('./real.js');"
            "for (const x of ['./outside.js', './folder/main.js', './circle.js'])"
            " await import(x).then(() => print('found'), e => print(e))"
        )
        said: list[str] = []
        program = Program(ran.script, output=said.append, complain=said.append, reactor=ran.clock)
        done = program.run()
        ran.clock.advance(0)
        self.assertEqual(self.successResultOf(done), 0)
        lines = "".join(said).splitlines()
        self.assertEqual(lines[0], "inside")
        self.assertEqual(len(lines), 4)
        for line in lines[1:]:
            self.assertIn("in the script's folder or below", line)

    def test_unreadable(self) -> None:
        for data, said in ((b"\xff", "is no UTF-8"), (b" " * (16 << 20) + b"  ", "has more")):
            ran = Ran(self, "1")
            ran.script.write_bytes(data)
            error = self.assertRaises(
                InvalidArgument, Program, ran.script, output=print, complain=print, reactor=ran.clock
            )
            self.assertIn(said, str(error))

    def test_noBridge(self) -> None:
        """
        What reaches out is nothing that a script has.
        """
        ran = Ran(self, "print(Object.keys(globalThis).concat(typeof __host, typeof __hook, typeof __toUTF8))")
        names = set(ran.lines[0].split(","))
        self.assertEqual(
            {each for each in names if each.startswith("_")} | (names & {"function", "host", "hook"}), set()
        )

    def test_process(self) -> None:
        ran = Ran(
            self,
            """
            import process, { argv, env, nextTick } from 'process'
            print(argv, JSON.stringify(env), process.argv === argv)
            nextTick((a, b) => print('tick', a, b), 1, 2)
            print('first')
            """,
            arguments=["x", "--y", "ž"],
            environment={"NAME": "value"},
        )
        self.assertEqual(ran.lines, ['wasinet,main.js,x,--y,ž {"NAME":"value"} true', "first", "tick 1 2"])

    def test_util(self) -> None:
        ran = Ran(
            self,
            """
            import { TextDecoder, TextEncoder } from 'util'
            const show = bytes => Array.from(bytes).join(' ')
            print(show(new TextEncoder().encode('é\\u20ac\\0\\ud800x')))
            print(JSON.stringify(new TextEncoder().encodeInto('é€', new Uint8Array(4))))
            const decoder = new TextDecoder()
            let text = ''
            for (const byte of new TextEncoder().encode('\\ufeffž€😀'))
                text += decoder.decode(new Uint8Array([byte]), { stream: true })
            print(text + decoder.decode(), JSON.stringify(decoder.decode()))
            const marked = new Uint8Array([239, 187, 191, 65]).buffer
            print(new TextDecoder('utf8', { ignoreBOM: true }).decode(marked).length)
            print(new TextDecoder().decode(new Uint8Array([65, 255, 66])) === 'A\\ufffdB')
            for (const broken of [[0xff], [0xe2, 0x82], [0xc0, 0x80]])
                try { new TextDecoder('utf-8', { fatal: true }).decode(new Uint8Array(broken)) } catch (e) { print(e) }
            try { new TextDecoder('latin1') } catch (e) { print(e) }
            print(newStringFromUTF8(new Uint8Array([1, 65, 66, 2]).subarray(1, 3)))
            """,
        )
        self.assertEqual(
            (ran.end().code, ran.said, ran.lines),
            (
                0,
                [],
                [
                    "195 169 226 130 172 0 239 191 189 120",
                    '{"read":1,"written":2}',
                    'ž€😀 ""',
                    "2",
                    "true",
                    *["TypeError: the bytes are not UTF-8"] * 3,
                    "RangeError: the encoding is UTF-8, not latin1",
                    "AB",
                ],
            ),
        )

    def test_console(self) -> None:
        ran = Ran(
            self,
            """
            console.log('a', 1, 2n, undefined, null, { b: [1, 'x'] }, new ArrayBuffer(3), Symbol('s'))
            const circle = {}; circle.circle = circle
            console.info(circle)
            console.error('bad', new RangeError('no'))
            console.warn('careful')
            print('x\\ud800')
            """,
        )
        self.assertEqual(
            ran.lines,
            ['a 1 2n undefined null {"b":[1,"x"]} ArrayBuffer(3) Symbol(s)', "[object Object]", "x\ufffd"],
        )
        self.assertRegex(ran.said[0], r"\Abad RangeError: no\n    at .*main\.js:5")
        self.assertEqual(ran.said[1:], ["careful"])
