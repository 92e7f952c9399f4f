"""
ASGI 3 apps, such as Starlette's, FastAPI's, Quart's and Django's, on the HTTP server.

    app = AsgiApp(starletteApp)
    await app.startup()
    server = serve(app, 8080)
"""

from .app import AsgiApp
from .lifespan import StartupFailed

__all__ = ["AsgiApp", "StartupFailed"]
