"""
A plugin of pytest's for tests of Channels' live server case: sets Django up, as its test runner does, and has the case
start daphne, which is its default, or our server.
"""

from __future__ import annotations

import os
from typing import Any

os.environ["DJANGO_SETTINGS_MODULE"] = "tests.asgi.live.project"

_databases: Any = None


def pytest_sessionstart() -> None:
    """
    Make the databases of the tests.
    """
    global _databases
    import django
    from django.test.utils import setup_databases, setup_test_environment

    django.setup()
    setup_test_environment(debug=True)
    _databases = setup_databases(0, False)
    if os.environ["WASINET_SUITE_SERVER"] == "ours":
        from channels.testing import ChannelsLiveServerTestCase

        from wasinet_twisted.contrib.django.testing import ServerProcess

        ChannelsLiveServerTestCase.ProtocolServerProcess = ServerProcess


def pytest_sessionfinish() -> None:
    """
    Remove them.
    """
    from django.test.utils import teardown_databases

    if _databases is not None:
        teardown_databases(_databases, 0)
