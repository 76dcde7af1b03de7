"""The fuzzing programs in their short form, and that they find what they look for."""

import json
import os
import random
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from fuzzing import events, mutations
from fuzzing.canary import Canary
from fuzzing.media import Victim

from shared.errors import UnparsableEvent

SCRIPTS = Path(__file__).parents[2] / "scripts"


def fuzz(*arguments):
    done = subprocess.run(
        [sys.executable, "-m", "fuzzing", *arguments, "--json"],
        env={**os.environ, "PYTHONPATH": str(SCRIPTS)},
        capture_output=True,
        text=True,
    )
    return done.returncode, json.loads(done.stdout.splitlines()[-1])


@pytest.mark.timeout(900)
def test_damaged_media_do_no_harm():
    status, outcome = fuzz("media", "--inputs", "60", "--seed", "7")

    assert outcome["crashes"] == outcome["hangs"] == outcome["leaks"] == []
    assert outcome["files_left"] == outcome["processes_left"] == outcome["canary_touches"] == []
    assert outcome["analysed"] + sum(outcome["refused"].values()) == 60
    assert status == 0


def test_damaged_messages_do_no_harm():
    status, outcome = fuzz("events", "--inputs", "2000", "--seed", "7")

    assert outcome["crashes"] == 0, outcome["first_crashes"]
    assert outcome["outcomes"]["uploads"] > 100
    assert status == 0


def test_a_parser_that_raises_is_noticed(monkeypatch):
    def parse(body):
        if "versionId" in body:
            raise KeyError("versionId")
        raise UnparsableEvent

    monkeypatch.setattr(events, "parse", parse)

    outcome = events.run(50, 1)

    assert not outcome["ok"]
    assert outcome["crashes"] > 0


def test_the_canary_notices_every_touch(tmp_path, wait_for):
    with Canary(tmp_path / "canary", b"song") as canary:
        canary.path.read_bytes()
        socket.create_connection(("127.0.0.1", canary.port)).close()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"x", ("127.0.0.1", canary.port))
        wait_for(lambda: len(set(canary.touches)) == 4)

    assert set(canary.touches) == {"opened", "read", "tcp", "udp"}


def test_a_process_that_dies_is_noticed(tmp_path):
    victim = Victim(tmp_path)
    (victim.directory / "left").touch()

    victim._process.kill()
    with pytest.raises(EOFError):
        victim.analyse(tmp_path / "none.mp4", models=False)

    assert victim.last_words().startswith("exit -9")
    assert victim.end() == ["file left"]


def test_the_same_seed_makes_the_same_damage():
    material = mutations.Material([b"other" * 900], [b"lure"])
    made = [
        [mutations.mutate(b"content" * 900, random.Random(f"3:{n}"), material) for n in range(60)]
        for _ in range(2)
    ]

    assert made[0] == made[1]
    assert len(set(made[0])) > 55
