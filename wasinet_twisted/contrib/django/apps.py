"""
The app, as Django knows it.
"""

from __future__ import annotations

import sys

from django.apps import AppConfig
from django.core import checks

from .checks import NAME, checkOrder
from .reactors import asyncioReactor

# Django imports this module before the project's own. What they import may import twisted.internet.reactor, and with it
# install a reactor that runs no asyncio programs.
if sys.argv[1:2] == ["runserver"]:
    asyncioReactor()


class WasinetConfig(AppConfig):
    """
    The app's names, and its check.
    """

    name = NAME
    # The last part of the name would be Django's own.
    label = "wasinet_twisted"
    verbose_name = "wasinet_twisted"

    def ready(self) -> None:
        """
        Have C{manage.py check}, and with it C{runserver}, see to the order of the apps.
        """
        checks.register(checkOrder, checks.Tags.staticfiles)
