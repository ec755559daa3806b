"""What every request passes before anything reads it: the host that it names, the token, its origin.

A page of another site can make a browser send requests to the loopback address, also under a name of its own that it
lets point there. So on loopback only loopback's names are served, and requests that change something have to come from
the page itself.
"""

import hmac
import json
from collections.abc import Awaitable, Callable, MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs, urlsplit

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

LOOPBACK = ("127.0.0.1", "localhost", "::1")
COOKIE = "zoetrope_token"
HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; "
        b"connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    ),
)


def is_loopback(host: str) -> bool:
    """Whether a host is only this machine's."""
    return host.strip("[]") in LOOPBACK


class Guard:
    """An ASGI application around another one."""

    def __init__(self, app: Application, token: str | None, *, loopback: bool) -> None:
        """With a `token`, requests need it: as a bearer, in a cookie, or once as `?token=`, which sets the cookie."""
        self.app, self.token, self.loopback = app, token, loopback

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request, or refuse it."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return
        headers = {name.lower(): value.decode("latin-1") for name, value in scope["headers"]}
        send = _with_headers(send)
        if (refused := self._refused(scope, headers)) is not None:
            await answer(send, *refused)
        elif self.token is not None and (given := _query_token(scope)) is not None:
            await self._enter(scope, send, given)
        elif not self._knows_token(headers):
            await answer(
                send, 401, "token: expected the token of this server, as it printed it; open the address with it"
            )
        else:
            await self.app(scope, receive, send)

    def _refused(self, scope: Scope, headers: dict[bytes, str]) -> tuple[int, str] | None:
        """The status and the message for a request from elsewhere; None: it is not."""
        host = headers.get(b"host", "")
        if self.loopback and not is_loopback(_hostname(host)):
            return 403, f"host: expected a name of this machine ({', '.join(LOOPBACK)})"
        if ".." in scope["path"].split("/"):
            return 404, "path: expected one of this server's, got one with '..'"
        origin = headers.get(b"origin")
        if scope["method"] not in ("GET", "HEAD") and origin is not None and _place(origin) != host:
            return 403, "origin: expected a request of this server's own page, or of a program"
        return None

    def _knows_token(self, headers: dict[bytes, str]) -> bool:
        if self.token is None:
            return True
        bearer = headers.get(b"authorization", "").removeprefix("Bearer ").strip()
        return self._is_token(bearer) or self._is_token(_cookie(headers.get(b"cookie", "")))

    def _is_token(self, given: str) -> bool:
        assert self.token is not None
        return hmac.compare_digest(given.encode("utf-8", "replace"), self.token.encode())

    async def _enter(self, scope: Scope, send: Send, given: str) -> None:
        """Set the cookie for a token in the address, and show the address without it."""
        if not self._is_token(given):
            await answer(send, 401, "token: expected the token of this server, as it printed it")
            return
        cookie = f"{COOKIE}={given}; HttpOnly; SameSite=Strict; Path=/"
        fields = [(b"location", b"/"), (b"set-cookie", cookie.encode()), (b"content-length", b"0")]
        await send({"type": "http.response.start", "status": 303, "headers": fields})
        await send({"type": "http.response.body", "body": b""})


async def answer(send: Send, status: int, message: str) -> None:
    """Answer with an error, as JSON."""
    body = json.dumps({"error": message}).encode()
    fields = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": [*fields, (b"connection", b"close")]})
    await send({"type": "http.response.body", "body": body})


def _place(origin: str) -> str | None:
    """Host and port of an origin; None: it is none."""
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return None


def _hostname(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _query_token(scope: Scope) -> str | None:
    if scope["method"] != "GET" or scope["path"] != "/" or len(scope["query_string"]) > 1000:
        return None
    try:
        return parse_qs(scope["query_string"].decode("latin-1"), max_num_fields=4).get("token", [None])[0]
    except ValueError:
        return None


def _cookie(text: str) -> str:
    try:
        found = SimpleCookie(text[:4096]).get(COOKIE)
    except CookieError:
        return ""
    return "" if found is None else found.value


def _with_headers(send: Send) -> Send:
    """The same with the headers that every answer has."""

    async def sending(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            own = list(message.get("headers", []))
            names = {name.lower() for name, _ in own}
            message["headers"] = [*own, *(field for field in HEADERS if field[0] not in names)]
        await send(message)

    return sending
