"""A proxy between the operator and the API server: it tells of each request, or breaks it off."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

import urllib3
from tests.server import Server


class Request(NamedTuple):
    method: str
    target: str
    body: bytes


class NoAnswerError(Exception):
    """Raised by who is told: the client gets no answer."""


class Way:
    """To the API server: open, closed, or silent. Its `pass_on` is told of each request."""

    def __init__(self) -> None:
        self._is_closed = False
        self._open = threading.Event()
        self._open.set()

    def pass_on(self, _: Request) -> None:
        self._open.wait()
        if self._is_closed:
            raise NoAnswerError

    def hang(self) -> None:
        self._open.clear()

    def close(self) -> None:
        self._is_closed = True
        self._open.set()

    def open(self) -> None:
        self._is_closed = False
        self._open.set()


@contextmanager
def proxy(
    server: Server,
    asked: Callable[[Request], None] = lambda _: None,
    answered: Callable[[Request, int], None] = lambda *_: None,
) -> Iterator[str]:
    """Its address, until the block ends.

    It tells of each request before it is passed on, and of its status once it was carried out.
    """
    pool = urllib3.PoolManager(ca_certs=str(server.control_plane.ca), maxsize=64)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _pass_on(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            request = Request(self.command, self.path, body)
            headers = ("Authorization", "Content-Type", "Accept")
            try:
                asked(request)
                response = pool.request(
                    self.command,
                    server.url + self.path,
                    body=body or None,
                    headers={name: self.headers[name] for name in headers if name in self.headers},
                    preload_content=False,
                    retries=False,
                )
                answered(request, response.status)
            except NoAnswerError:
                self.close_connection = True
                return
            self.send_response(response.status)
            self.send_header("Content-Type", response.headers["Content-Type"])
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for chunk in response.stream():
                self.wfile.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))
            self.wfile.write(b"0\r\n\r\n")

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _pass_on  # noqa: N815

        def log_message(self, *_: object) -> None:
            """Those who want to know are told."""

    class Proxy(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: Any) -> None:
            """The client has gone away, or the API server has."""

    with Proxy(("127.0.0.1", 0), Handler) as http:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{http.server_port}"
        finally:
            http.shutdown()
