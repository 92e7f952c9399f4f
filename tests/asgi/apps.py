"""
Apps on the frameworks that people use. Each runs as the module C{app} of a directory.
"""

from __future__ import annotations

# Streams go on until somebody ends them, and say so: "told: " and how.

STARLETTE = """
import anyio, asyncio, os
from contextlib import asynccontextmanager
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, StreamingResponse
from starlette.routing import Mount, Route, WebSocketRoute

@asynccontextmanager
async def lifespan(app):
    async with anyio.create_task_group() as group:
        yield {"number": 7}
    print("stopped")

async def state(request):
    await anyio.sleep(0.001)
    return JSONResponse([request.state.number, str(request.url), asyncio.current_task() is not None])

def threaded(request):
    return PlainTextResponse("threaded")

async def stream(request):
    async def pieces():
        for number in range(3):
            await asyncio.sleep(0.001)
            yield f"{number}\\n"
    return StreamingResponse(pieces())

async def endless(request):
    async def pieces():
        try:
            while True:
                yield "first"
                await asyncio.sleep(0.01)
        finally:
            print("told: stream")
    return StreamingResponse(pieces())

async def silent(request):
    async def pieces():
        try:
            yield "first"
            await asyncio.sleep(1000)
        finally:
            print("told: silence")
    return StreamingResponse(pieces())

async def polling(request):
    async def pieces():
        yield "first"
        while not await request.is_disconnected():
            await asyncio.sleep(0.01)
        print("told: is_disconnected")
    # By its own means: StreamingResponse would end it.
    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        async for piece in pieces():
            await send({"type": "http.response.body", "body": piece.encode(), "more_body": True})
    return app

async def upload(request):
    size = count = 0
    async for piece in request.stream():
        size += len(piece)
        count += 1
        if count < 5:
            await asyncio.sleep(0.05)
    return PlainTextResponse(str(size), background=BackgroundTask(print, "behind"))

async def held(request):
    print("held")
    while not os.path.exists("go"):
        await asyncio.sleep(0.01)
    return PlainTextResponse("let go")

async def echo(websocket):
    await websocket.accept(subprotocol="chat")
    async for text in websocket.iter_text():
        await websocket.send_text(text[::-1])
    print("closed")

async def codes(websocket):
    await websocket.accept()
    print("code", (await websocket.receive())["code"])

routes = [
    Route("/state", state), Route("/threaded", threaded), Route("/stream", stream), Route("/endless", endless),
    Route("/silent", silent), Route("/polling", polling), Route("/held", held),
    Route("/upload", upload, methods=["POST"]), Route("/file", lambda request: FileResponse(__file__)),
    Mount("/below", routes=[Route("/state", state)]), WebSocketRoute("/echo", echo), WebSocketRoute("/codes", codes),
]
app = Starlette(routes=routes, lifespan=lifespan)
"""

FASTAPI = """
import asyncio
from fastapi import BackgroundTasks, Depends, FastAPI, HTTPException, Request, WebSocket, WebSocketException
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

app = FastAPI()

class Item(BaseModel):
    name: str
    price: float = 1.5

def number(q: int = 2):
    return q

@app.get("/items/{item}")
def read(item: int, q: int = Depends(number)):
    if item == 0:
        raise HTTPException(404, "no such item")
    return {"item": item, "q": q}

@app.post("/items", status_code=201)
async def create(item: Item, tasks: BackgroundTasks):
    tasks.add_task(print, "behind", item.name)
    return item

@app.get("/boom")
async def boom():
    raise ValueError("boom")

@app.get("/where")
async def where(request: Request):
    return [str(request.url), str(request.url_for("read", item=5)), request.client.host]

@app.get("/events")
async def events():
    async def pieces():
        try:
            yield "data: first\\n\\n"
            await asyncio.sleep(1000)
        finally:
            print("told: events")
    # For nginx.
    headers = {"X-Accel-Buffering": "no"}
    return StreamingResponse(pieces(), media_type="text/event-stream", headers=headers)

@app.websocket("/items/{item}/ws")
async def talk(socket: WebSocket, item: int, q: int = Depends(number)):
    if item == 0:
        raise WebSocketException(4000, "no such item")
    await socket.accept()
    await socket.send_json({"item": item, "q": q, "url": str(socket.url)})
    try:
        async for data in socket.iter_bytes():
            await socket.send_bytes(data)
    finally:
        print("told: WebSocket")
"""

QUART = """
import asyncio
from quart import Quart, request, websocket

app = Quart(__name__)

@app.before_serving
async def begin():
    app.number = 7

@app.after_serving
async def end():
    print("stopped")

@app.get("/state")
async def state():
    return {"number": app.number, "url": request.url}

@app.post("/upload")
async def upload():
    size = 0
    async for piece in request.body:
        size += len(piece)
    return str(size)

@app.get("/stream")
async def stream():
    async def pieces():
        for number in range(3):
            await asyncio.sleep(0.001)
            yield f"{number}\\n"
    return pieces()

@app.get("/endless")
async def endless():
    async def pieces():
        try:
            yield "first"
            await asyncio.sleep(1000)
        finally:
            print("told: stream")
    return pieces(), {"X-Timeout": "none"}

@app.get("/boom")
async def boom():
    raise ValueError("boom")

@app.websocket("/echo")
async def echo():
    try:
        while True:
            await websocket.send(await websocket.receive())
    except asyncio.CancelledError:
        print("told: WebSocket")
        raise

@app.websocket("/no")
async def no():
    return "no", 403
"""

DJANGO = """
import asyncio, os
import django
from django.conf import settings

settings.configure(
    ALLOWED_HOSTS=["*"], DEBUG=False, INSTALLED_APPS=["channels"], ROOT_URLCONF="app", SECRET_KEY="of the tests",
    CHANNEL_LAYERS={"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}},
)
django.setup()

from channels.generic.websocket import AsyncWebsocketConsumer, JsonWebsocketConsumer, WebsocketConsumer
from channels.routing import ProtocolTypeRouter, URLRouter
from django.core.asgi import get_asgi_application
from django.http import HttpResponse, JsonResponse, StreamingHttpResponse
from django.urls import path

def sync(request):
    return JsonResponse({"path": request.path, "query": request.GET, "host": request.get_host()})

async def view(request):
    await asyncio.sleep(0.001)
    return HttpResponse(f"{request.method} {len(request.body)}")

def upload(request):
    size = 0
    while piece := request.read(100_000):
        size += len(piece)
    return HttpResponse(str(size))

async def endless(request):
    async def pieces():
        try:
            yield b"first"
            await asyncio.sleep(1000)
        finally:
            print("told: stream")
    return StreamingHttpResponse(pieces())

async def boom(request):
    raise ValueError("boom")

class Echo(WebsocketConsumer):
    def receive(self, text_data=None, bytes_data=None):
        if text_data == "close":
            self.close(4001)
        else:
            self.send(text_data, bytes_data)

class Room(AsyncWebsocketConsumer):
    async def connect(self):
        self.room = self.scope["url_route"]["kwargs"]["room"]
        await self.channel_layer.group_add(self.room, self.channel_name)
        await self.accept(self.scope["subprotocols"][0] if self.scope["subprotocols"] else None)

    async def receive(self, text_data=None, bytes_data=None):
        await self.channel_layer.group_send(self.room, {"type": "said", "text": text_data})

    async def said(self, event):
        await self.send(event["text"])

    async def disconnect(self, code):
        print("code", code)

class Refused(AsyncWebsocketConsumer):
    async def connect(self):
        await self.close()

urlpatterns = [
    path("sync/", sync), path("view/", view), path("upload/", upload), path("endless/", endless), path("boom/", boom),
]
sockets = [path("echo/", Echo.as_asgi()), path("room/<room>/", Room.as_asgi()), path("no/", Refused.as_asgi())]
app = ProtocolTypeRouter({"http": get_asgi_application(), "websocket": URLRouter(sockets)})
"""
