"""
A Django project with a page, a static file and a Channels consumer, as files of a directory.
"""

from __future__ import annotations

from pathlib import Path

MANAGE = """
import os, sys

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "site1.settings")
    from django.core.management import execute_from_command_line
    execute_from_command_line(sys.argv)
"""

SETTINGS = """
import os
from pathlib import Path

BASE = Path(__file__).parent.parent
SECRET_KEY = "of the tests"
DEBUG = "SITE_DEBUG" in os.environ
ALLOWED_HOSTS = ["127.0.0.1", "[::1]"]
ROOT_URLCONF = "site1.urls"
INSTALLED_APPS = ["wasinet_twisted.contrib.django", "django.contrib.staticfiles", "channels", "site1"]
ASGI_APPLICATION = "site1.asgi.application"
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": BASE / "site.sqlite3",
        "TEST": {"NAME": BASE / "test.sqlite3"},
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
STATIC_URL = "/static/"
STATICFILES_DIRS = [BASE / "files"]
"""

URLS = """
from django.http import HttpResponse
from django.urls import path

from site1.models import Word


async def page(request):
    return HttpResponse("first page", content_type="text/plain")


def words(request):
    return HttpResponse(" ".join(Word.objects.values_list("text", flat=True)), content_type="text/plain")


urlpatterns = [path("", page), path("words/", words)]
"""

MODELS = """
from django.db import models


class Word(models.Model):
    text = models.CharField(max_length=20)
"""

ASGI = """
import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "site1.settings")
from django.core.asgi import get_asgi_application

pages = get_asgi_application()

from channels.generic.websocket import AsyncWebsocketConsumer
from channels.routing import ProtocolTypeRouter, URLRouter
from django.urls import path

from site1 import lifespan


class Echo(AsyncWebsocketConsumer):
    async def connect(self):
        if b"refused" in self.scope["query_string"]:
            await self.close()
        else:
            await self.accept()

    async def receive(self, text_data=None, bytes_data=None):
        await self.send(text_data=text_data, bytes_data=bytes_data)


application = ProtocolTypeRouter(
    {"http": pages, "websocket": URLRouter([path("echo/", Echo.as_asgi())]), "lifespan": lifespan.app}
)
"""

LIFESPAN = """
import os


async def app(scope, receive, send):
    assert (await receive())["type"] == "lifespan.startup"
    if "SITE_FAILS" in os.environ:
        await send({"type": "lifespan.startup.failed", "message": "no database today"})
        return
    await send({"type": "lifespan.startup.complete"})
    await receive()
    with open("lifespan", "a") as file:
        file.write("ended\\n")
    await send({"type": "lifespan.shutdown.complete"})
"""

TESTS = """
from urllib.request import urlopen

from websockets.sync.client import connect

from site1.models import Word
from wasinet_twisted.contrib.django.testing import ChannelsLiveServerTestCase


class LiveTests(ChannelsLiveServerTestCase):
    host = "127.0.0.1"

    def get(self, path):
        with urlopen(self.live_server_url + path, timeout=20) as response:
            return response.read().decode()

    def test_page(self):
        self.assertEqual(self.get("/"), "first page")

    def test_staticFile(self):
        self.assertEqual(self.get("/static/file.txt"), "a static file")

    def test_database(self):
        self.assertEqual(self.get("/words/"), "")
        Word.objects.create(text="stored")
        self.assertEqual(self.get("/words/"), "stored")

    test_databaseIsEmptyAgain = test_database

    def test_webSocket(self):
        with connect(self.live_server_ws_url + "/echo/") as client:
            client.send("text")
            self.assertEqual(client.recv(20), "text")


class PlainTests(ChannelsLiveServerTestCase):
    serve_static = False

    def test_noStaticFile(self):
        from urllib.error import HTTPError

        with self.assertRaises(HTTPError):
            urlopen(self.live_server_url + "/static/file.txt", timeout=20)
"""

FAILING = """
import os

from wasinet_twisted.contrib.django.testing import ChannelsLiveServerTestCase


def tearDownModule():
    del os.environ["SITE_FAILS"]


class FailingTests(ChannelsLiveServerTestCase):
    @classmethod
    def setUpClass(cls):
        os.environ["SITE_FAILS"] = "yes"
        try:
            super().setUpClass()
        except RuntimeError as error:
            assert "did not start" in str(error) and "no database today" in str(error), error
        else:
            raise AssertionError("it has started")

    def test_failed(self):
        pass
"""


def makeProject(directory: Path) -> None:
    """
    Write the project.
    """
    for path, text in {
        "manage.py": MANAGE,
        "site1/__init__.py": "",
        "site1/settings.py": SETTINGS,
        "site1/urls.py": URLS,
        "site1/models.py": MODELS,
        "site1/asgi.py": ASGI,
        "site1/lifespan.py": LIFESPAN,
        "site1/tests.py": TESTS,
        "site1/testfailing.py": FAILING,
        "site1/migrations/__init__.py": "",
        "files/file.txt": "a static file",
    }.items():
        file = directory / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
