"""
Is this app's C{runserver} the one that runs?
"""

from __future__ import annotations

import os
from typing import Any

from django.apps import apps
from django.core.checks import Error
from django.core.management import find_commands

NAME = "wasinet_twisted.contrib.django"

# Its runserver is a small change to the next app's.
_WRAPPERS = ("whitenoise.runserver_nostatic",)


def checkOrder(app_configs: Any, **kwargs: Any) -> list[Error]:
    """
    Look for apps that come first and have a C{runserver} too: Django takes the first one.

    @param app_configs: as Django has it.
    """
    for each in apps.get_app_configs():
        if each.name == NAME:
            break
        if each.name not in _WRAPPERS and "runserver" in find_commands(os.path.join(each.path, "management")):
            return [
                Error(
                    f"{NAME} must come before {each.name} in INSTALLED_APPS.",
                    hint=f"{each.name} has a runserver of its own, and the first one is used.",
                    id="wasinet_twisted.E001",
                )
            ]
    return []
