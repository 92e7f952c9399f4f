"""
Which app is served.
"""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string


def defaultApplication() -> Any:
    """
    Return the app that the setting C{ASGI_APPLICATION} names, and without the setting Django's own.

    @raise ImproperlyConfigured: it can't be imported.
    """
    path = getattr(settings, "ASGI_APPLICATION", None)
    if path is None:
        return get_asgi_application()
    try:
        return import_string(path)
    except ImportError as error:
        raise ImproperlyConfigured(f"ASGI_APPLICATION {path!r} can't be imported: {error}") from error
