"""
A plugin of pytest's that puts our server in the place of daphne's in daphne's tests.
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

if os.environ["WASINET_SUITE_SERVER"] == "ours":
    import daphne.testing

    from wasinet_twisted.contrib.django.serverprocess import ServerProcess
    from wasinet_twisted.server import ServerLimits

    def process(host: str, get_application: Any, kwargs: dict[str, Any], setup: Any, teardown: Any) -> ServerProcess:
        """
        Make what C{daphne.testing.DaphneProcess} makes, with its options in ours.
        """
        options: dict[str, Any] = {"lifespan": "off"}
        if "proxy_forwarded_address_header" in kwargs:
            options["trustedProxies"] = ["127.0.0.1"]
        if "http_timeout" in kwargs:
            options["limits"] = replace(ServerLimits(), handler=float(kwargs["http_timeout"]))
        return ServerProcess(host, get_application, options, setup, teardown)

    daphne.testing.DaphneProcess = process
