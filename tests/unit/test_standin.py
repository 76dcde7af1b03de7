"""The stand-in answers requests to tables one after the other, and others side by side."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from workers.standin import tables_in_turn


@pytest.mark.parametrize(
    ("target", "most"),
    [
        pytest.param("DynamoDB_20120810.UpdateItem", 1, id="tables"),
        pytest.param("AmazonSQS.ReceiveMessage", 2, id="queues"),
        pytest.param("", 2, id="objects"),
    ],
)
def test_requests_to_tables_take_turns(target, most):
    inside, seen, together = [], [], threading.Barrier(2)

    def application(_, start_response):
        start_response("200 OK", [])
        inside.append(1)
        try:
            together.wait(0.2)
        except threading.BrokenBarrierError:
            together.reset()
        seen.append(len(inside))
        inside.pop()
        yield b"done"

    guarded = tables_in_turn(application)

    def ask(_):
        return b"".join(guarded({"HTTP_X_AMZ_TARGET": target}, lambda *_: None))

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(ask, range(2))) == [b"done", b"done"]
    assert max(seen) == most
