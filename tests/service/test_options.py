"""
What wasinet-echo takes on its command line.
"""

from __future__ import annotations

from twisted.python.usage import Options as BaseOptions
from twisted.python.usage import UsageError
from twisted.trial.unittest import SynchronousTestCase

from wasinet_twisted.service import command
from wasinet_twisted.service.echo import Options


class Parent(BaseOptions):
    """
    As much of twistd's options as matters: a daemon, unless C{-n} is given.
    """

    optFlags = (("nodaemon", "n", ""),)
    subCommands = (("wasinet-echo", None, Options, ""),)


def parse(*arguments: str) -> Options:
    options = Options()
    options.parseOptions(list(arguments))
    return options


class OptionsTests(SynchronousTestCase):
    def setUp(self) -> None:
        # Under trial there is none at this point, and it isn't for a test to choose one for all that follow.
        self.patch(command, "installReactor", lambda: None)

    def refused(self, *arguments: str) -> str:
        """
        @return: the one line that says why.
        """
        error = self.assertRaises(UsageError, parse, *arguments)
        self.assertEqual(len(str(error).splitlines()), 1)
        return str(error)

    def test_defaults(self) -> None:
        options = parse()
        self.assertEqual((options["http"], options["tcp"], options["access-log"]), (["tcp:8000"], ["tcp:8001"], None))

    def test_oneKindOnly(self) -> None:
        options = parse("--http", "tcp:1")
        self.assertEqual((options["http"], options["tcp"]), (["tcp:1"], []))
        options = parse("--tcp", "tcp:1")
        self.assertEqual((options["http"], options["tcp"]), ([], ["tcp:1"]))

    def test_repeatable(self) -> None:
        options = parse("--tcp=tcp:1", "--http=tcp:2", "--tcp=unix:/run/x.sock", "--http=tcp:3:interface=127.0.0.1")
        self.assertEqual(options["tcp"], ["tcp:1", "unix:/run/x.sock"])
        self.assertEqual(options["http"], ["tcp:2", "tcp:3:interface=127.0.0.1"])

    def test_eachParseStartsAnew(self) -> None:
        parse("--tcp", "tcp:1")
        self.assertEqual(parse()["tcp"], ["tcp:8001"])

    def test_portsAtTheirBounds(self) -> None:
        for port in ("0", "65535"):
            self.assertEqual(parse("--http", f"tcp:{port}")["http"], [f"tcp:{port}"])
        for port in ("-1", "65536"):
            self.assertIn(port, self.refused("--http", f"tcp:{port}"))

    def test_badEndpoints(self) -> None:
        for option in ("--http", "--tcp"):
            for text in (
                "",
                "8000",
                "tcp",
                "tcp:",
                "tcp:eighty",
                "nonsense:1",
                "tcp:1:colour=red",
                "ssl:1:privateKey=/no",
            ):
                message = self.refused(option, text)
                self.assertTrue(message.startswith(f"{option}: "), message)
                self.assertIn(text, message)

    def test_unknownOption(self) -> None:
        self.assertIn("nonsense", self.refused("--nonsense"))

    def test_missingValue(self) -> None:
        self.assertIn("http", self.refused("--http"))

    def test_strayArgument(self) -> None:
        """
        An endpoint whose option was forgotten must not be ignored.
        """
        self.refused("tcp:8000")

    def test_accessLog(self) -> None:
        self.assertEqual(parse("--access-log", "x.log")["access-log"], "x.log")
        self.assertEqual(parse("--access-log", "-")["access-log"], "-")

    def test_accessLogWithoutHttp(self) -> None:
        self.assertIn("--access-log", self.refused("--tcp", "tcp:1", "--access-log", "x.log"))
        parse("--tcp", "tcp:1", "--http", "tcp:2", "--access-log", "x.log")

    def test_accessLogOfADaemon(self) -> None:
        """
        It has no standard output.
        """
        with self.assertRaises(UsageError) as caught:
            Parent().parseOptions(["wasinet-echo", "--access-log", "-"])
        self.assertIn("--access-log", str(caught.exception))
        Parent().parseOptions(["wasinet-echo", "--access-log", "x.log"])
        Parent().parseOptions(["-n", "wasinet-echo", "--access-log", "-"])

    def test_help(self) -> None:
        text = parse().getUsage()
        for name in ("--http", "--tcp", "--access-log", "tcp:8000", "tcp:8001"):
            self.assertIn(name, text)
