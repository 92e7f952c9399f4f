"""
C{twistd wasinet-http}: serves an app of the user's by HTTP.
"""

from __future__ import annotations

from typing import ClassVar

from twisted.application.service import IService

from .app import loadApp, loadShutdown
from .httpserving import HttpAppService, ServingOptions, serviceOf
from .reloading import Reported


class Options(ServingOptions):
    """
    The options of C{wasinet-http}.
    """

    command = "wasinet-http"
    synopsis = "--app package.module:handler [options]"
    longdesc = (
        "Serves HTTP/1.1 (tcp:8080) by a handler: a function, async or not, that takes a request and gives a response. "
        "It is imported from the current directory too."
    )
    optParameters: ClassVar = [
        ["app", None, None, "The handler, as package.module:name."],
        [
            "shutdown",
            None,
            None,
            "A function of the app, async or not, called when the last request has been answered.",
        ],
    ]


def preload(options: Options) -> None:
    """
    Import the app, for workers that are forked later.

    @raise AppFailed: with one line that says why not.
    """
    loadApp(options["app"])
    if options["shutdown"] is not None:
        loadShutdown(options["shutdown"])


def makeService(options: Options) -> IService:
    """
    What twistd and twist call.
    """

    def make(worker: Reported | None) -> IService:
        handler = loadApp(options["app"])
        shutdown = None if options["shutdown"] is None else loadShutdown(options["shutdown"])
        return HttpAppService(options, handler, worker, shutdown=shutdown)

    return serviceOf(options, make)
