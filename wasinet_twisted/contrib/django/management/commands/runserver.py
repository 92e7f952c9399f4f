"""
C{manage.py runserver}: Django's command, with the ASGI server of this project in it.
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from datetime import datetime
from typing import Any

from django.apps import apps
from django.conf import settings
from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler
from django.core.management import CommandError
from django.core.management.commands.runserver import Command as RunserverCommand

from wasinet_twisted import __version__
from wasinet_twisted.errors import NotSupported

from ...applications import defaultApplication
from ...developing import DevelopmentServer, endInThreads
from ...reactors import asyncioReactor


class Command(RunserverCommand):
    """
    Its options are Django's, and those of C{django.contrib.staticfiles} where that is installed.
    """

    help = "Starts the ASGI server of wasinet_twisted for development, and serves static files too."
    server_cls = DevelopmentServer

    def add_arguments(self, parser: ArgumentParser) -> None:
        """
        See C{BaseCommand.add_arguments}.
        """
        super().add_arguments(parser)
        if apps.is_installed("django.contrib.staticfiles"):
            parser.add_argument(
                "--nostatic",
                action="store_false",
                dest="use_static_handler",
                help="Tells Django to NOT automatically serve static files at STATIC_URL.",
            )
            parser.add_argument(
                "--insecure",
                action="store_true",
                dest="insecure_serving",
                help="Allows serving static files even if DEBUG is False.",
            )

    def handle(self, *args: Any, **options: Any) -> None:
        """
        See C{BaseCommand.handle}.
        """
        # Before the project's modules are imported, which may import a reactor, and here: in the reloader's thread an
        # exception wouldn't end the process.
        try:
            asyncioReactor()
        except NotSupported as error:
            raise CommandError(str(error)) from error
        super().handle(*args, **options)

    def run(self, **options: Any) -> None:
        """
        Run the server, beside the autoreloader unless that is switched off.
        """
        try:
            super().run(**options)
        finally:
            endInThreads()

    def get_handler(self, *args: Any, **options: Any) -> Any:
        """
        Return the app; in development, with static files before it.
        """
        app = defaultApplication()
        if options.get("use_static_handler", False) and (settings.DEBUG or options.get("insecure_serving", False)):
            return ASGIStaticFilesHandler(app)
        return app

    def on_bind(self, server_port: int) -> None:
        """
        Say what is served, and where. Before Django 5.2 its own lines say so.
        """
        host = f"[{self.addr}]" if ":" in self.addr else "0.0.0.0" if self.addr == "0" else self.addr
        stop = "CTRL-BREAK" if sys.platform == "win32" else "CONTROL-C"
        self.stdout.write(
            f"{datetime.now():%B %d, %Y - %X}\n"
            f"Django version {self.get_version()}, using settings {settings.SETTINGS_MODULE!r}\n"
            f"Starting ASGI/wasinet_twisted version {__version__} development server"
            f" at {self.protocol}://{host}:{server_port}/\n"
            f"Quit the server with {stop}."
        )
