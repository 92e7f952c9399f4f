"""
What we use of wasmtime that its package keeps to itself is where it was. And where the engine's binary is.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import tarfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

from twisted.trial.unittest import SynchronousTestCase

from tests.support import temporaryDirectory
from wasinet_twisted.errors import NotSupported
from wasinet_twisted.javascript import build as command
from wasinet_twisted.javascript import guest, wasm
from wasinet_twisted.javascript.guest import build as building
from wasinet_twisted.javascript.guest.build import libraryLicence, licenceOf

from .support import needsEngine

_SEE = "see wasinet_twisted/javascript/wasm.py"


@needsEngine
class PrivateTests(SynchronousTestCase):
    """
    Each name by itself, so that a new version of wasmtime says which one it has moved.
    """

    def setUp(self) -> None:
        import wasmtime

        self.wasmtime = wasmtime
        self.store = wasmtime.Store()
        text = '(module (func (export "f") (result i32) i32.const 7) (func (export "t") unreachable))'
        self.exports = wasmtime.Instance(self.store, wasmtime.Module(self.store.engine, text), []).exports(self.store)

    def test_library(self) -> None:
        from wasmtime import _ffi

        self.assertTrue(Path(str(_ffi.filename)).is_file(), f"wasmtime moved _ffi.filename: {_SEE}")
        for name in (
            *("wasmtime_func_call_unchecked", "wasmtime_context_set_epoch_deadline"),
            *("wasmtime_linker_define_func_unchecked", "wasmtime_config_async_stack_size_set"),
        ):
            self.assertTrue(hasattr(_ffi.dll, name), f"wasmtime's C API has no {name} any more: {_SEE}")
        for name in ("wasmtime_error_t", "wasm_trap_t"):
            self.assertTrue(hasattr(_ffi, name), f"wasmtime moved _ffi.{name}: {_SEE}")

    def test_objects(self) -> None:
        self.assertTrue(hasattr(self.store, "_context"), f"wasmtime moved Store._context: {_SEE}")
        self.assertTrue(hasattr(self.exports["f"], "_func"), f"wasmtime moved Func._func: {_SEE}")
        for kind in (self.wasmtime.Trap, self.wasmtime.WasmtimeError):
            self.assertTrue(hasattr(kind, "_from_ptr"), f"wasmtime moved {kind.__name__}._from_ptr: {_SEE}")
        # What a value of the C API takes, and where it begins.
        from wasmtime._ffi import wasmtime_val_raw_t

        self.assertEqual(ctypes.sizeof(wasmtime_val_raw_t), 16, f"wasmtime_val_raw_t has changed: {_SEE}")

    def test_calls(self) -> None:
        """
        They do what they did.
        """
        shared = wasm.compiled(1 << 20)
        context = shared.contextOf(self.store)
        arguments, trap = shared.ffi.new("int64_t[2]"), shared.ffi.new("void **")
        call = shared.lib.wasmtime_func_call_unchecked
        self.assertFalse(call(context, shared.functionOf(self.exports["f"]), arguments, 1, trap))
        self.assertEqual((arguments[0], trap[0]), (7, shared.ffi.NULL))
        error = call(context, shared.functionOf(self.exports["t"]), arguments, 1, trap)
        self.assertIn("unreachable", wasm.lastLine(shared.textOf(error, trap[0])))

    def test_lastLine(self) -> None:
        self.assertEqual(wasm.lastLine("error\n  because\n\n"), "because")
        self.assertEqual(wasm.lastLine("x" * 1000), "x" * 300)
        self.assertEqual(wasm.lastLine(" \n"), "an unknown error")
        # With RUST_BACKTRACE=1, some versions say more.
        trap = "error\nCaused by:\n  1: wasm trap: interrupt\nStack backtrace:\n  0: anyhow::error::from\n"
        self.assertEqual(wasm.lastLine(trap), "wasm trap: interrupt")
        self.assertEqual(
            wasm.lastLine("no room\n\nStack backtrace:\n  0: anyhow::error::from\n  at /x.rs:7"), "no room"
        )


class BinaryTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.beside = temporaryDirectory(self)
        self.home = temporaryDirectory(self)
        self.patch(guest, "BESIDE", self.beside)
        self.patch(guest, "SHA256", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
        self.patch(os, "environ", {**os.environ, "XDG_CACHE_HOME": str(self.home)})

    def test_missing(self) -> None:
        error = self.assertRaises(NotSupported, guest.read)
        self.assertEqual(
            str(error),
            "the JavaScript engine is not built; this builds it: python -m wasinet_twisted.javascript.build",
        )

    def test_places(self) -> None:
        """
        Beside the package first, then in the user's cache; never another one than it has to be.
        """
        folder = guest.cache()
        self.assertEqual(folder, self.home / "wasinet_twisted" / "ba7816bf8f01cfea")
        folder.mkdir(parents=True)
        (folder / guest.NAME).write_bytes(b"abc")
        self.assertEqual(guest.read(), b"abc")
        (self.beside / guest.NAME).write_bytes(b"other")
        self.assertEqual(guest.read(), b"abc")
        (folder / guest.NAME).unlink()
        error = self.assertRaises(NotSupported, guest.read)
        self.assertIn(f"at {self.beside / guest.NAME} is of another version; this builds it: ", str(error))
        self.assertFalse(guest.isIt(self.beside / guest.NAME))
        (self.beside / guest.NAME).write_bytes(b"abc")
        self.assertTrue(guest.isIt(self.beside / guest.NAME))
        self.assertEqual(guest.read(), b"abc")

    def test_relativeCache(self) -> None:
        os.environ["XDG_CACHE_HOME"] = "relative"
        os.environ["HOME"] = "/home/user"
        self.assertEqual(guest.cache().parent, Path("/home/user/.cache/wasinet_twisted"))

    def built(self, *arguments: str, data: bytes = b"abc") -> int:
        """
        Run the command, whose build is done already.
        """
        self.patch(command, "BESIDE", self.beside)
        self.builds = getattr(self, "builds", 0)

        def build(work: Path, progress: object) -> tuple[bytes, str]:
            self.builds += 1
            return data, "terms"

        self.patch(command, "build", build)
        return command.main(arguments)

    def test_puts(self) -> None:
        """
        The binary and its terms, once.
        """
        self.assertEqual((self.built(), self.builds), (0, 1))
        self.assertEqual(
            {path.name: path.read_bytes() for path in self.beside.iterdir()},
            {guest.NAME: b"abc", guest.LICENSE: b"terms"},
        )
        self.assertEqual((self.built(), self.builds), (0, 1))
        self.assertEqual((self.built("--force"), self.builds), (0, 2))
        other = self.home / "a" / "b"
        self.assertEqual((self.built("--output", str(other)), self.builds), (0, 3))
        self.assertEqual((other / guest.NAME).read_bytes(), b"abc")

    def test_readOnly(self) -> None:
        """
        Where the package can't be written to, into the cache.
        """
        self.patch(os, "access", lambda path, mode: False)
        self.assertEqual(self.built(), 0)
        self.assertEqual(list(self.beside.iterdir()), [])
        self.assertEqual((guest.cache() / guest.NAME).read_bytes(), b"abc")

    def test_fails(self) -> None:
        (self.home / "file").touch()
        self.assertEqual(self.built("--output", str(self.home / "file" / "x")), 1)

    def test_build(self) -> None:
        """
        pip fetches both, by versions and hashes; the compiler makes the bytes that are expected, or they aren't used.
        """
        ran: list[list[str]] = []
        made = b"abc"

        def run(command: list[str], **options: Any) -> Any:
            ran.append(command)
            if "download" in command:
                self.assertIn("--require-hashes", command)
                folder = work / "x" / "upstream-quickjs"
                folder.mkdir(parents=True)
                for name in ("quickjs.c", "libregexp.c", "libunicode.c", "dtoa.c"):
                    (folder / name).write_text("/*\n * Permission is hereby granted\n */\n")
                with tarfile.open(work / "x.tar.gz", "w:gz") as archive:
                    archive.add(work / "x", "x")
            elif "install" in command:
                musl = work / "compiler" / "ziglang" / "lib" / "libc" / "wasi" / "libc-top-half" / "musl"
                musl.mkdir(parents=True)
                (musl / "COPYRIGHT").write_text("musl")
                (musl.parent.parent / "LICENSE-MIT").write_text("MIT")
            else:
                self.assertTrue((options["cwd"] / "guest.c").is_file())
                Path(command[-1]).write_bytes(made)
            return SimpleNamespace(returncode=0, stdout="")

        self.patch(building, "BESIDE", Path(building.__file__).parent)
        self.patch(building, "SHA256", guest.SHA256)
        self.patch(subprocess, "run", run)
        work = temporaryDirectory(self)
        told: list[tuple[str, int, int]] = []
        data, terms = building.build(work, lambda *given: told.append(given))
        self.assertEqual((data, len(ran), told[-1]), (b"abc", 3, ("done", 4, 4)))
        self.assertIn("Permission is hereby granted", terms)
        self.assertIn("musl", terms)
        made, work = b"other", temporaryDirectory(self)
        error = self.assertRaises(NotSupported, building.build, work, lambda *given: None)
        self.assertIn("was expected: it isn't used", str(error))
        self.patch(subprocess, "run", lambda *_, **__: SimpleNamespace(returncode=1, stdout="why"))
        error = self.assertRaises(NotSupported, building.build, temporaryDirectory(self), lambda *given: None)
        self.assertEqual(str(error), "pip has failed with 1:\nwhy")

    def test_licence(self) -> None:
        sources = temporaryDirectory(self)
        for name in ("quickjs.c", "libregexp.c", "libunicode.c", "dtoa.c"):
            (sources / name).write_text(f"/*\n * {name} by X\n *\n * Permission is hereby granted\n */\nint x;\n")
        terms = licenceOf(sources)
        self.assertIn("libregexp.c by X\n\nPermission is hereby granted\n", terms)
        self.assertNotIn("int x", terms)
        (sources / "dtoa.c").write_text("int x;\n")
        self.assertRaises(NotSupported, licenceOf, sources)
        self.assertRaises(NotSupported, libraryLicence, sources)
        musl = sources / "libc-top-half" / "musl"
        musl.mkdir(parents=True)
        (sources / "LICENSE-MIT").write_text("as MIT has it\n")
        (musl / "COPYRIGHT").write_text("musl as a whole\n")
        self.assertIn("as MIT has it\n\nmusl:\n\nmusl as a whole\n", libraryLicence(sources))

    def test_buildNeedsNothing(self) -> None:
        """
        The build runs where only Python is.
        """
        code = (
            "import sys, wasinet_twisted.javascript.build\n"
            "import wasinet_twisted.javascript.guest.build\n"
            "foreign = ('twisted', 'zope', 'wasmtime', 'cffi', 'multidict')\n"
            "print([name for name in sys.modules if name.startswith(foreign)])"
        )
        answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
        self.assertEqual((answer.stdout, answer.stderr), ("[]\n", ""))


class HintTests(SynchronousTestCase):
    def test_noExtra(self) -> None:
        """
        Without wasmtime or cffi, the message says what to install.
        """
        for name in ("wasmtime", "cffi"):
            with mock.patch.dict(sys.modules, {name: None}):
                error = self.assertRaises(NotSupported, wasm.Compiled, 0)
            self.assertEqual(str(error), "JavaScript needs the extra: pip install 'wasinet_twisted[js]'")
