"""
What wasinet-echo takes on its command line.
"""

from __future__ import annotations

import sys
from io import StringIO

import twisted
from twisted.python.usage import Options as BaseOptions
from twisted.python.usage import UsageError
from twisted.trial.unittest import SynchronousTestCase

import wasinet_twisted
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
        self.patch(command, "installReactor", lambda **_: None)

    def refused(self, *arguments: str) -> str:
        """
        @return: the one line that says why.
        """
        error = self.assertRaises(UsageError, parse, *arguments)
        self.assertEqual(len(str(error).splitlines()), 1)
        return str(error)

    def refusedByTwistd(self, *arguments: str) -> str:
        """
        @return: what stands on the standard error: twistd would print all options as well.
        """
        self.patch(sys, "stderr", stderr := StringIO())
        with self.assertRaises(SystemExit) as caught:
            Parent().parseOptions(["wasinet-echo", *arguments])
        self.assertEqual(caught.exception.code, 1)
        return stderr.getvalue()

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
        self.assertEqual(options["tcp"], ["tcp:1", "unix:/run/x.sock:mode=660"])
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
                "65536",
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

    def test_ports(self) -> None:
        """
        A bare port, and an IP address with a port, are endpoints.
        """
        for given, expected in {
            "9000": "tcp:9000",
            "0": "tcp:0",
            "127.0.0.1:9000": "tcp:9000:interface=127.0.0.1",
            "0.0.0.0:9000": "tcp:9000:interface=0.0.0.0",
            "[::1]:9000": r"tcp6:9000:interface=\:\:1",
            "[::]:0": r"tcp6:0:interface=\:\:",
        }.items():
            for option in ("http", "tcp"):
                self.assertEqual(parse(f"--{option}={given}")[option], [expected])
        for given in (
            "65536",
            "-1",
            "127.0.0.1:65536",
            "127.0.0.256:1",
            "[127.0.0.1]:1",
            "::1:9000",
            "9000 ",
            "\uff19",
        ):
            self.assertIn("no server endpoint", self.refused(f"--http={given}"))
        self.assertIn("an endpoint is a port (8080)", self.refused("--http=http"))

    def test_modesOfUnixSockets(self) -> None:
        """
        The owner and the group, unless the endpoint says otherwise.
        """
        for given, expected in {
            "unix:/run/x": "unix:/run/x:mode=660",
            "unix:/run/x:backlog=5": "unix:/run/x:backlog=5:mode=660",
            "haproxy:unix:/run/x": "haproxy:unix:/run/x:mode=660",
            r"unix:/run/mode\=1": r"unix:/run/mode\=1:mode=660",
            "unix:/run/x:mode=600": "unix:/run/x:mode=600",
            "unix:/run/x:666": "unix:/run/x:666",
            "haproxy:unix:/run/x:666": "haproxy:unix:/run/x:666",
            "unix:address=/run/x": "unix:address=/run/x:mode=660",
        }.items():
            self.assertEqual(parse("--http", given)["http"], [expected])
        self.refused("--http=unix:/run/x:mode=999")

    def test_unknownOption(self) -> None:
        self.assertIn("nonsense", self.refused("--nonsense"))

    def test_oneLineBelowTwistd(self) -> None:
        for arguments, expected in {
            ("--nonsense",): "wasinet-echo: option --nonsense not recognized (see wasinet-echo --help)\n",
            ("--http=nonsense:1",): "wasinet-echo: --http: no server endpoint: 'nonsense:1': ValueError: "
            "Unknown endpoint type: 'nonsense' (see wasinet-echo --help)\n",
        }.items():
            self.assertEqual(self.refusedByTwistd(*arguments), expected)

    def test_version(self) -> None:
        self.patch(sys, "stdout", stdout := StringIO())
        with self.assertRaises(SystemExit) as caught:
            parse("--version")
        self.assertEqual(caught.exception.code, 0)
        form = wasinet_twisted.speed()
        ours = f"wasinet_twisted {wasinet_twisted.__version__} ({form}; Twisted {twisted.__version__}, Python "
        self.assertTrue(stdout.getvalue().startswith(ours), stdout.getvalue())
        self.assertEqual(len(stdout.getvalue().splitlines()), 1)

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
        self.assertIn("--access-log", self.refusedByTwistd("--access-log", "-"))
        Parent().parseOptions(["wasinet-echo", "--access-log", "x.log"])
        Parent().parseOptions(["-n", "wasinet-echo", "--access-log", "-"])

    def test_help(self) -> None:
        text = parse().getUsage()
        for name in ("--http", "--tcp", "--access-log", "tcp:8000", "tcp:8001"):
            self.assertIn(name, text)
