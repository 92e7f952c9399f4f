"""
A Django project with a Channels consumer, in one module: settings, URLs, views, the ASGI application.
"""

from __future__ import annotations

import os
import tempfile
from typing import Any

DIRECTORY = tempfile.gettempdir()

SECRET_KEY = "of the tests"
DEBUG = True
ALLOWED_HOSTS = ["127.0.0.1"]
ROOT_URLCONF = "tests.asgi.live.project"
ASGI_APPLICATION = "tests.asgi.live.project.application"
INSTALLED_APPS = [
    *("django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions", "django.contrib.staticfiles"),
    "channels",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
]
# A file: the server is another process.
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.path.join(DIRECTORY, "live.sqlite3"),
        "TEST": {"NAME": os.path.join(DIRECTORY, "livetest.sqlite3")},
    }
}
CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}
STATIC_URL = "/static/"
STATICFILES_DIRS = [os.path.join(os.path.dirname(__file__), "static")]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
USE_TZ = True


def _routes() -> tuple[list[Any], Any]:
    from channels.auth import AuthMiddlewareStack
    from channels.generic.websocket import AsyncJsonWebsocketConsumer, AsyncWebsocketConsumer
    from channels.routing import ProtocolTypeRouter, URLRouter
    from channels.security.websocket import AllowedHostsOriginValidator
    from django.contrib.auth import get_user_model
    from django.core.asgi import get_asgi_application
    from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
    from django.urls import path

    pages = get_asgi_application()

    class Echo(AsyncWebsocketConsumer):
        """
        Sends back what it gets.
        """

        async def connect(self) -> None:
            offered = self.scope["subprotocols"]
            await self.accept("chat" if "chat" in offered else None)

        async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
            if text_data == "close":
                await self.close(4001)
            else:
                await self.send(text_data=text_data, bytes_data=bytes_data)

    class Who(AsyncJsonWebsocketConsumer):
        """
        Says who the client is, and what others say to the group.
        """

        async def connect(self) -> None:
            await self.channel_layer.group_add("all", self.channel_name)
            await self.accept()
            await self.send_json({"user": self.scope["user"].get_username()})

        async def receive_json(self, content: Any) -> None:
            await self.channel_layer.group_send("all", {"type": "said", "content": content})

        async def said(self, event: Any) -> None:
            await self.send_json(event["content"])

    class Refused(AsyncWebsocketConsumer):
        """
        Refuses all.
        """

        async def connect(self) -> None:
            await self.close()

    def hello(request: HttpRequest) -> HttpResponse:
        return HttpResponse("hello " + request.GET.get("name", "world"), content_type="text/plain")

    def users(request: HttpRequest) -> HttpResponse:
        return JsonResponse({"users": list(get_user_model().objects.values_list("username", flat=True))})

    def length(request: HttpRequest) -> HttpResponse:
        return HttpResponse(str(len(request.body)))

    def streamed(request: HttpRequest) -> StreamingHttpResponse:
        async def pieces() -> Any:
            for number in range(3):
                yield f"{number};".encode()

        return StreamingHttpResponse(pieces())

    def broken(request: HttpRequest) -> HttpResponse:
        raise ValueError("the view is broken")

    urls = [
        *(path("hello/", hello), path("users/", users), path("length/", length)),
        *(path("streamed/", streamed), path("broken/", broken)),
    ]
    sockets = URLRouter([path("echo/", Echo.as_asgi()), path("who/", Who.as_asgi()), path("no/", Refused.as_asgi())])
    websocket = AllowedHostsOriginValidator(AuthMiddlewareStack(sockets))
    return urls, ProtocolTypeRouter({"http": pages, "websocket": websocket})


def __getattr__(name: str) -> Any:
    # The settings are this module, so what needs them comes later.
    if name not in ("urlpatterns", "application"):
        raise AttributeError(name)
    module = globals()
    module["urlpatterns"], module["application"] = _routes()
    return module[name]
