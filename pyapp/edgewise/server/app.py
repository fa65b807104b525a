"""The application: routes, who may use them, and how errors are answered.

GET  /healthz               the engine's status, always 200 while the process lives
GET  /v1/models             OpenAI's list, of one
POST /v1/chat/completions   OpenAI's chat, streamed or whole
GET  /…                     the static site, if there is one
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Mount, Route

from ..errors import EdgewiseError
from .completions import Completions
from .engine import Engine
from .problems import Refusal, refusal_of
from .static import Isolated, Site

Endpoint = Callable[[Request], Awaitable[Response]]
CLIENT_GONE = 499  # nginx's number; nobody receives it


def create_app(
    engine: Engine | None, *, site: Path | None = None, token: str | None = None
) -> Starlette:
    """A server for one model (`engine`), a static site, or both.

    token  what clients of /v1 must send as `Authorization: Bearer …`; None: anyone may.
    """

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        if engine is not None:
            engine.start()
        yield
        if engine is not None:
            await engine.close()

    async def health(request: Request) -> Response:
        data = {"model": engine.model} | engine.status.to_dict() if engine else {"status": "none"}
        return JSONResponse(data, headers={"cache-control": "no-store"})

    routes: list[BaseRoute] = [Route("/healthz", health)]
    if engine is not None:
        endpoints = Completions(engine)
        routes += [
            Route("/v1/models", _guarded(endpoints.models, token)),
            Route("/v1/chat/completions", _guarded(endpoints.create, token), methods=["POST"]),
        ]
    routes.append(Route("/v1/{path:path}", _unknown, methods=["GET", "POST"]))
    if site is not None:
        routes.append(Mount("/", Site(directory=site, html=True)))
    return Starlette(
        routes=routes,
        middleware=[Middleware(Isolated)],
        lifespan=lifespan,
        exception_handlers={
            Refusal: _refused,
            EdgewiseError: _failed,
            ClientDisconnect: _gone,
            Exception: _broken,
        },
    )


def _guarded(endpoint: Endpoint, token: str | None) -> Endpoint:
    """`endpoint` for those who know the token."""
    if token is None:
        return endpoint
    need = f"Bearer {token}".encode()

    async def guarded(request: Request) -> Response:
        got = request.headers.get("authorization", "").encode("latin-1")  # as it was sent
        if not secrets.compare_digest(got, need):
            raise Refusal(
                401,
                "this server needs its token: Authorization: Bearer …",
                code="invalid_api_key",
                headers={"www-authenticate": "Bearer"},
            )
        return await endpoint(request)

    return guarded


async def _unknown(request: Request) -> Response:
    raise Refusal(404, f"no such endpoint: {request.method} {request.url.path}", code="unknown_url")


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refusal)
    return error.response()


async def _failed(request: Request, error: Exception) -> Response:
    assert isinstance(error, EdgewiseError)
    return refusal_of(error).response()


async def _gone(request: Request, error: Exception) -> Response:
    return Response(status_code=CLIENT_GONE)


async def _broken(request: Request, error: Exception) -> Response:
    # Starlette raises it again after this answer, so the log has its traceback.
    return Refusal(500, "the server failed; its log says why", code="internal_error").response()
