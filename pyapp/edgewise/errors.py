"""Every error that Edgewise raises on purpose.

A class says what a caller can do about it; the fields say what was asked, what was found
and what to do, and the message is made from them. Errors that cross from JavaScript or over
HTTP travel as `to_dict()` and come back by `from_dict()`.

    EdgewiseError
    ├── FormatError            the bytes are not what their format says
    │   └── NeedMoreBytes      a prefix was parsed and the rest is needed
    ├── UnsupportedError       valid, but not something Edgewise (or this device) does
    ├── ShapeError             dimensions do not fit
    ├── DTypeError             data types do not fit
    ├── GraphError             a graph breaks one of its rules
    ├── PlanError              no plan can be made for this device
    ├── InputError             what the user asked for cannot be done as asked
    │   ├── EmptyPromptError   nothing to answer
    │   └── ContextOverrunError  more tokens than the model or its state holds
    ├── StoreError             stored bytes cannot be had
    │   ├── HashMismatchError  bytes differ from the hash that names them
    │   ├── DownloadError      the network gave no or too few bytes
    │   └── QuotaError         the browser or the disk has no room
    ├── HostError              the machine failed
    │   ├── NoDeviceError      there is no device of the asked kind
    │   └── DeviceLostError    the device went away; sessions rebuild and replay
    └── RouteError             nobody can do the work
        └── ServerError        the server is down or refuses
"""

from __future__ import annotations


class EdgewiseError(Exception):
    """Base of all. Fields `what`, `got`, `need`, `where`, `fix` are strings or None."""

    def __init__(
        self,
        what: str,
        *,
        got: str | None = None,
        need: str | None = None,
        where: str | None = None,
        fix: str | None = None,
    ) -> None:
        self.what, self.got, self.need, self.where, self.fix = what, got, need, where, fix
        super().__init__(str(self))

    @property
    def code(self) -> str:
        """The class's name: what travels over HTTP and from JavaScript."""
        return type(self).__name__

    def __str__(self) -> str:
        found = "; ".join(
            f"{key} {text}" for key, text in (("got", self.got), ("need", self.need)) if text
        )
        text = f"{self.what}: {found}" if found else self.what
        if self.where:
            text += f"\n  at {self.where}"
        if self.fix:
            text += f"\n  fix: {self.fix}"
        return text

    def __reduce__(self) -> tuple[object, ...]:
        return from_dict, (self.to_dict(),)

    def to_dict(self) -> dict[str, str]:
        """Plain data: `code` and every field that is set."""
        fields = {
            "what": self.what,
            "got": self.got,
            "need": self.need,
            "where": self.where,
            "fix": self.fix,
        }
        return {"code": self.code, **{key: text for key, text in fields.items() if text}}


class FormatError(EdgewiseError):
    """The bytes are not what their format says; `where` names the byte."""


class NeedMoreBytes(FormatError):
    """A prefix of a file was parsed and ends before the header does."""


class UnsupportedError(EdgewiseError):
    """Valid, but not something Edgewise or this device does."""


class ShapeError(EdgewiseError):
    """Dimensions do not fit."""


class DTypeError(EdgewiseError):
    """Data types do not fit."""


class GraphError(EdgewiseError):
    """A graph breaks one of its rules."""


class PlanError(EdgewiseError):
    """No plan can be made for this device."""


class InputError(EdgewiseError):
    """What the user asked for cannot be done as asked."""


class EmptyPromptError(InputError):
    """There is nothing to answer."""


class ContextOverrunError(InputError):
    """More tokens than the model or its state holds."""


class StoreError(EdgewiseError):
    """Stored bytes cannot be had."""


class HashMismatchError(StoreError):
    """Bytes differ from the hash that names them."""


class DownloadError(StoreError):
    """The network gave no or too few bytes."""


class QuotaError(StoreError):
    """The browser or the disk has no room."""


class HostError(EdgewiseError):
    """The machine failed."""


class NoDeviceError(HostError):
    """There is no device of the asked kind."""


class DeviceLostError(HostError):
    """The device went away; a session rebuilds on a new one and replays."""


class RouteError(EdgewiseError):
    """Nobody can do the work under the caller's policy."""


class ServerError(RouteError):
    """The server is down or refuses."""


def _tree(root: type[EdgewiseError]) -> dict[str, type[EdgewiseError]]:
    found = {root.__name__: root}
    for child in root.__subclasses__():
        found |= _tree(child)
    return found


def from_dict(data: dict[str, str]) -> EdgewiseError:
    """The error that `to_dict` described; an unknown code becomes a HostError that names it."""
    fields = {key: data.get(key) for key in ("got", "need", "where", "fix")}
    kind = _tree(EdgewiseError).get(data.get("code", ""))
    if kind is None:
        what = f"{data.get('code', 'error')}: {data.get('what') or data.get('message', '')}"
        return HostError(what, **fields)
    return kind(data.get("what") or data.get("message", ""), **fields)
