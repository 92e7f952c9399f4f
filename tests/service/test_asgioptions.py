"""
The options of C{wasinet-asgi}.
"""

from __future__ import annotations

from typing import Any

from twisted.python.usage import UsageError
from twisted.trial.unittest import SynchronousTestCase

from wasinet_twisted.service.asgi import Options


class OptionsTests(SynchronousTestCase):
    def parse(self, *arguments: str) -> Any:
        options = Options()
        options.parseOptions(["--app", "app:app", *arguments])
        return options

    def test_defaults(self) -> None:
        options = self.parse()
        self.assertEqual(options["listen"], ["tcp:8080"])
        self.assertEqual((options["lifespan"], options["root-path"], options["trusted-hosts"]), ("auto", "", []))

    def test_trustedHosts(self) -> None:
        options = self.parse("--proxy-headers", "--trusted-hosts", "10.0.0.0/8, ::1", "--trusted-hosts", "unix")
        self.assertEqual(options["trusted-hosts"], ["10.0.0.0/8", "::1", "unix"])

    def test_wrong(self) -> None:
        for arguments, expected in (
            (
                ["--trusted-hosts", "::1"],
                "--trusted-hosts: without --proxy-headers",
            ),
            (["--proxy-headers", "--trusted-hosts", "proxy"], "--trusted-hosts: a trusted proxy must be an address"),
            (["--lifespan", "never"], "--lifespan: there are auto, on, off, not 'never'"),
            (["--root-path", "shop"], "--root-path: a root path must begin with a / and not end with one, not 'shop'"),
            (["--root-path", "/shop/"], "--root-path: a root path must begin with a /"),
            (["--nonsense"], "nonsense"),
        ):
            error = self.assertRaises(UsageError, self.parse, *arguments)
            self.assertIn(expected, str(error))
        error = self.assertRaises(UsageError, Options().parseOptions, [])
        self.assertEqual(str(error), "--app: it must be named, as package.module:app")
