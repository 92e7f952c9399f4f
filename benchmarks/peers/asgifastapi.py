"""
A FastAPI app, as its documentation shows one.
"""

from __future__ import annotations

from fastapi import FastAPI
from fastapi.responses import PlainTextResponse

app = FastAPI()


@app.get("/{path:path}", response_class=PlainTextResponse)
async def answer(path: str) -> str:
    return f"path:/{path}"
