"""The stand-in for AWS on one machine: moto's server, with tables that keep DynamoDB's promise.

    python -m workers.standin PORT

DynamoDB checks the condition of a write and writes in one step. moto answers each request in a
thread of its own and does the two without a lock (5.2.5), so that of two claims at once both may
win. Here, requests to tables are answered one after the other.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from moto.moto_server.werkzeug_app import (
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)
from werkzeug.serving import run_simple

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_HOST = "127.0.0.1"
#: How an AWS client names the operations of tables.
_TABLES = "DynamoDB_"


def tables_in_turn(application: WSGIApplication) -> WSGIApplication:
    """Wrap an application so that no two requests to tables are answered at once."""
    turn = threading.Lock()

    def answer(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if not environ.get("HTTP_X_AMZ_TARGET", "").startswith(_TABLES):
            return application(environ, start_response)
        with turn:
            return list(application(environ, start_response))

    return answer


def main() -> None:
    """Answer on a port of the loopback address until SIGTERM."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    moto: Any = DomainDispatcherApplication(create_backend_app)
    moto.debug = True
    run_simple(
        _HOST,
        int(sys.argv[1]),
        tables_in_turn(moto),
        threaded=True,
        request_handler=MotoRequestHandler,
    )


if __name__ == "__main__":
    main()
