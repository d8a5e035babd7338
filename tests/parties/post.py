"""The post office between the shop and amends: it carries every message, and keeps a copy."""

from __future__ import annotations

import threading
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from random import Random

KEPT = ("content-type", "webhook-id", "webhook-timestamp", "webhook-signature")


class Post:
    """Messages go on to `to` as they come; what amends says goes back to the shop."""

    def __init__(self, to: str) -> None:
        self.to = to
        self.came: list[tuple[dict[str, str], bytes]] = []
        self.holds = False  # messages are taken, and carried only when they are sent `again`
        office = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                head = {k.lower(): v for k, v in self.headers.items() if k.lower() in KEPT}
                office.came.append((head, body))
                self.send_response(204 if office.holds else office.carry(head, body))
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/webhooks/shop-1"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def carry(self, head: dict[str, str], body: bytes) -> int:
        """The status of the answer; 503 from nobody."""
        request = urllib.request.Request(self.to, body, head, method="POST")
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 503

    def again(self, prng: Random) -> list[int]:
        """Every message so far twice more, in any order; what each was answered."""
        messages = [message for message in self.came for _ in range(2)]
        prng.shuffle(messages)
        return [self.carry(head, body) for head, body in messages]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
