"""
The server under test: how it is started, renewed, rolled, killed and ended.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from benchmarks.candidates import ROOT, Failed, freePort, script

from .sockets import held
from .watching import childrenOf

# How long a start, a roll or an end may take, in seconds.
PATIENCE = 120.0

# So short that what they end ends within a short run too.
LIMITS = ("head=5", "idle=20", "bodyGrace=5", "drain=25")

_APPS = {"wasinet-http": "benchmarks.soak.app:handler", "wasinet-asgi": "benchmarks.soak.app:application"}
COMMANDS = tuple(_APPS)


class Service:
    """
    The server's parent, and its workers.

    @ivar ports: the plain one, and that of TLS.
    @ivar first: the certificate that it begins with, DER.
    @ivar logs: the access logs so far, the current one last.
    """

    def __init__(self, folder: Path, command: str, workers: int) -> None:
        self._folder = folder
        self.ports = freePort(), freePort()
        self._status = freePort()
        self._certificate = folder / "certificate.pem"
        self.logs = [folder / "access.log"]
        self.first = self.renew()
        arguments = [script("twistd"), "-n", "--pidfile=", command, f"--app={_APPS[command]}", f"--workers={workers}"]
        arguments += [f"--listen=127.0.0.1:{self.ports[0]}"]
        arguments += [f"--listen=ssl:{self.ports[1]}:interface=127.0.0.1:privateKey={self._certificate.name}"]
        arguments += [f"--status={self._status}", f"--access-log={self.logs[0]}", "--access-log-format=json"]
        arguments += [f"--limits={each}" for each in LIMITS]
        with self.output.open("wb") as output:
            self._process = subprocess.Popen(
                arguments,
                cwd=folder,
                env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        self.pid = self._process.pid

    @property
    def output(self) -> Path:
        """
        What the server logs.
        """
        return self._folder / "server.log"

    def awaitStart(self) -> None:
        """
        Wait until it serves.

        @raise Failed: it doesn't.
        """
        until = time.monotonic() + PATIENCE
        while self.output.read_text().count(" listening on ") < len(self.ports):
            if self._process.poll() is not None or time.monotonic() > until:
                raise Failed(f"the server doesn't start: {self.output.read_text()}")
            time.sleep(0.05)

    def end(self) -> int:
        """
        End it as a supervisor does.

        @return: its status; that of a signal is negative. -9 if it had to be killed.
        """
        if self._process.poll() is None:
            self._process.terminate()
        try:
            return self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()

    def renew(self) -> bytes:
        """
        Write a new certificate.

        @return: it, DER.
        """
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.x509.oid import NameOID

        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "soak.example")])
        now = datetime.now(UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .sign(key, hashes.SHA256())
        )
        pem = serialization.Encoding.PEM
        private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        # As a whole: a worker that is started in this moment reads it too.
        written = self._certificate.with_suffix(".new")
        written.write_bytes(certificate.public_bytes(pem) + private)
        written.replace(self._certificate)
        return certificate.public_bytes(serialization.Encoding.DER)

    def rotate(self) -> None:
        """
        Rename the access log, as logrotate does; SIGHUP has to follow.
        """
        moved = self._folder / f"access.log.{len(self.logs)}"
        self.logs[-1].rename(moved)
        self.logs[-1:] = [moved, self._folder / "access.log"]

    def hangUp(self) -> None:
        """
        Send SIGHUP.
        """
        self._process.send_signal(signal.SIGHUP)

    async def rows(self) -> list[dict[str, Any]]:
        """
        Return what the status page tells of each worker.
        """
        told = await asyncio.to_thread(self._told)
        return list(told["workers"])

    def _told(self) -> dict[str, Any]:
        with urllib.request.urlopen(f"http://127.0.0.1:{self._status}/status.json", timeout=PATIENCE) as answer:
            return dict(json.load(answer))

    async def ready(self, count: int, without: Sequence[int] = ()) -> list[int]:
        """
        Wait until so many workers serve, and those of C{without} accept nobody any more.

        @return: their processes.
        @raise Failed: this takes too long.
        """
        until = time.monotonic() + PATIENCE
        while True:
            pids = [row["pid"] for row in await self.rows() if row["state"] == "ready"]
            if len(pids) == count and not set(pids) & set(without) and not any(map(self._listens, without)):
                return pids
            if time.monotonic() > until:
                raise Failed(f"{count} workers aren't ready after {PATIENCE:g} s, but {pids}; before: {without}")
            await asyncio.sleep(0.2)

    def family(self) -> tuple[list[int], list[int]]:
        """
        Return the parent's children, which fork the workers, and theirs; those that nobody has waited for included.
        """
        try:
            templates = childrenOf(self.pid)
        except OSError as error:
            raise Failed(f"the server has ended: {self.output.read_text()[-3000:]}") from error
        workers = []
        for template in templates:
            # It may just have ended.
            with suppress(OSError):
                workers += childrenOf(template)
        return templates, workers

    def _listens(self, pid: int) -> bool:
        return any(each.listens for each in held(pid, self.ports))

    async def freeze(self, pid: int) -> list[int]:
        """
        Stop a worker from running.

        @return: the ports of the clients that it has connections with: exactly these will lose something.
        """
        os.kill(pid, signal.SIGSTOP)
        stat = Path(f"/proc/{pid}/stat")
        while stat.read_text().rpartition(")")[2].split()[0] != "T":
            await asyncio.sleep(0.001)
        return [each.peer for each in held(pid, self.ports) if not each.listens]


def kill(pid: int) -> None:
    """
    Kill -9.
    """
    os.kill(pid, signal.SIGKILL)


@contextmanager
def serving(folder: Path, command: str, workers: int) -> Iterator[Service]:
    """
    Start a server, and see to it that it ends.
    """
    service = Service(folder, command, workers)
    try:
        service.awaitStart()
        yield service
    finally:
        service.end()
