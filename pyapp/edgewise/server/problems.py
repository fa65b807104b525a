"""Errors as OpenAI's clients expect them: `{"error": {message, type, param, code}}`.

An `EdgewiseError` also travels whole, as `error.edgewise`, so that our own client raises the
same error on the other side.
"""

from __future__ import annotations

from collections.abc import Mapping

from starlette.responses import JSONResponse

from ..errors import ContextOverrunError, EdgewiseError, InputError


class Refusal(Exception):
    """A request that gets no answer: the HTTP status and what OpenAI's error object says."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        cause: EdgewiseError | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.code, self.param = status, message, code, param
        self.cause, self.headers = cause, headers

    @property
    def type(self) -> str:
        """OpenAI's family of the error."""
        families = {401: "authentication_error", 429: "rate_limit_error"}
        family = "server_error" if self.status >= 500 else "invalid_request_error"
        return families.get(self.status, family)

    def to_dict(self) -> dict[str, object]:
        """The body."""
        error: dict[str, object] = {
            "message": self.message,
            "type": self.type,
            "param": self.param,
            "code": self.code,
        }
        if self.cause is not None:
            error["edgewise"] = self.cause.to_dict()
        return {"error": error}

    def response(self) -> JSONResponse:
        """The whole answer."""
        return JSONResponse(self.to_dict(), self.status, self.headers)


def refusal_of(error: EdgewiseError) -> Refusal:
    """The client's fault is 400, anything else 500."""
    if isinstance(error, ContextOverrunError):
        return Refusal(
            400, str(error), code="context_length_exceeded", param="messages", cause=error
        )
    status = 400 if isinstance(error, InputError) else 500
    return Refusal(status, str(error), code=error.code, cause=error)


def bad(param: str, message: str) -> Refusal:
    """A body that breaks a rule, naming the field."""
    return Refusal(400, f"{param}: {message}", code="invalid_value", param=param)
