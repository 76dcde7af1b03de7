"""The two runs: the same files through a calm fleet and through one in a storm."""

from __future__ import annotations

import json
import math
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shared import aws, objects
from shared.queues import queue_url
from shared.records import Upload
from shared.settings import Settings
from torturing import reckoning
from torturing.faults import Weather
from torturing.files import File
from torturing.fleet import Fleet, strays
from torturing.proxy import FaultyWay
from torturing.reckoning import Reckoning
from workers import local

ROLES = ("intake", "audio", "video", "aggregator")
#: Two aggregators: their sweepers meet.
STORM_ROLES = (*ROLES, "aggregator")
CUT_S = 20.0
#: Part of the storm in which files are uploaded, and at which the cut begins.
_UPLOADING, _CUT_AT = 0.7, 0.35
#: Part of the jobs that shall end in the storm, and how much longer it may last for that.
_THROUGH, _LONGEST = 0.6, 2.5
#: Pause between two blows, in seconds.
_BLOW_S = (3.0, 6.0)
#: Uploads in work at once in the calm: the stand-in's queues are slow when they are deep.
_AT_ONCE = 24
#: Uploads that are put twice, as an impatient client does.
_PUT_TWICE = 0.1
_LOOK_S = 1.0
#: Times are short, so that a storm of a minute holds many timeouts; receives are many, so that
#: being killed again and again makes no dead letters.
_SETTINGS: dict[str, Any] = {
    "visibility_timeout_s": 8,
    "max_receive_count": 12,
    "max_retry_wait_s": 16,
    "receive_wait_s": 1,
    "sweep_interval_s": 2,
    "stuck_after_s": 15,
    "bucket_sweep_interval_s": 5,
    "threads": 1,
    "sample_rate": 3,
    "metrics_port": 0,
    "log_format": "json",
}
Decisions = dict[int, dict[str, Any]]


@dataclass(frozen=True)
class Plan:
    """What is to be run, and where.

    Attributes:
        directory: For files, logs and temporary media.
        files: What is uploaded.
        rng: Where chance comes from.
        storm_s: Length of the storm.
        patience_s: A fleet in which nothing moves for so long has come to an end.
        say: Tells whoever waits.
    """

    directory: Path
    files: list[File]
    rng: random.Random
    storm_s: float
    patience_s: float
    say: Callable[[str], None]


@dataclass(frozen=True)
class Run:
    """What happened in a storm."""

    reckoning: Reckoning
    counts: dict[str, Counter[str]]


class Installation:
    """One installation: its settings, its directories and what has been uploaded to it."""

    def __init__(self, plan: Plan, name: str) -> None:
        """Choose names; nothing is started."""
        self.name = name
        self._patience_s = plan.patience_s
        self.temporary = plan.directory / name / "tmp"
        self.work = plan.directory / name / "work"
        self.temporary.mkdir(parents=True)
        state = plan.directory / name
        self.settings = Settings(prefix=name, work_dir=self.work, state_dir=state, **_SETTINGS)
        self.uploads: dict[int, Upload] = {}

    def fleet(self, roles: tuple[str, ...], endpoint: str) -> Fleet:
        """Return a fleet that reaches AWS at an address."""
        settings = self.settings.model_copy(update={"endpoint_url": endpoint})
        environment = {**local.as_environment(settings), "TMPDIR": str(self.temporary)}
        return Fleet.of(roles, environment, self.settings.state_dir / "logs")

    def put(self, index: int, file: File) -> None:
        """Upload one file, past all faults."""
        s3, bucket = aws.client(self.settings, "s3"), self.settings.uploads_bucket
        answer = s3.put_object(Bucket=bucket, Key=file.key, Body=file.path.read_bytes())
        self.uploads[index] = objects.as_upload(bucket, file.key, answer)

    def unfinished(self) -> list[str]:
        """Return the ids of the jobs that are not there or not final."""
        ids = [upload.job_id for upload in list(self.uploads.values())]
        return reckoning.unfinished(self.settings, ids)

    def settle(self, each: Callable[[], None]) -> bool:
        """Wait until all jobs are final and all queues empty; False where nothing moves any more.

        Args:
            each: Called at each look.
        """
        least, moved = math.inf, time.monotonic()
        while time.monotonic() - moved < self._patience_s:
            each()
            left = len(self.unfinished())
            waiting = sum(reckoning.still_queued(self.settings).values())
            if not left + waiting:
                return True
            if left + waiting < least:
                least, moved = left + waiting, time.monotonic()
            time.sleep(_LOOK_S)
        return False


def calm(plan: Plan) -> Decisions:
    """Run all files through a fleet without faults, and return the decisions by file number.

    Raises:
        RuntimeError: It did not come to an end.
    """
    house = Installation(plan, "calm")
    with local.running(house.settings, roles=()) as system:
        house.settings = system.settings
        fleet = house.fleet(ROLES, system.endpoint_url)
        fleet.start()
        try:
            for index, file in enumerate(plan.files):
                while index % 4 == 0 and len(house.unfinished()) >= _AT_ONCE:
                    time.sleep(_LOOK_S / 2)
                house.put(index, file)
            if not house.settle(lambda: None):
                raise RuntimeError(f"the calm run did not settle: {house.unfinished()}")
        finally:
            fleet.stop()
        jobs = reckoning.all_jobs(system.settings)
    return {
        index: reckoning.decision(jobs[upload.job_id]) for index, upload in house.uploads.items()
    }


def storm(plan: Plan, expected: Decisions) -> Run:
    """Run all files through a fleet in a storm, let it settle, and reckon."""
    house = Installation(plan, "storm")
    weather, result = Weather(random.Random(plan.rng.random())), Reckoning()
    with local.running(house.settings, roles=()) as system:
        house.settings = system.settings
        way = FaultyWay(system.endpoint_url, weather, house.settings.queue("uploads"))
        fleet = house.fleet(STORM_ROLES, way.url)
        poison = _poison(house.settings)
        try:
            weather.stormy = True
            _weather_the_storm(plan, house, fleet, weather)
            weather.stormy = False
            plan.say("the storm is over")
            calmed = house.settle(fleet.start)
            result.expect(calmed, f"unfinished: {_names(house, plan, house.unfinished())}")
        finally:
            bad = fleet.stop()
        result.expect(not bad, f"ended badly: {bad}")
        _reckon(result, house, plan, expected, poison)
        way.shutdown()
        way.server_close()
    return Run(result, {"weather": weather.counts, "blows": fleet.counts})


def _weather_the_storm(plan: Plan, house: Installation, fleet: Fleet, weather: Weather) -> None:
    """Upload all files while processes are killed, and cut AWS off once."""
    begun, rng = time.monotonic(), random.Random(plan.rng.random())
    uploader = threading.Thread(target=_upload_all, args=(plan, house, weather), daemon=True)
    fleet.start()
    uploader.start()
    cut_at, next_blow = plan.storm_s * _CUT_AT, _BLOW_S[1]
    while _storms_on(passed := time.monotonic() - begun, plan, house) or uploader.is_alive():
        if passed >= cut_at and not weather.counts["cuts"]:
            plan.say(f"AWS is cut off for {CUT_S:.0f} s")
            weather.cut_off(CUT_S)
        if passed >= next_blow:
            fleet.strike(rng)
            next_blow = time.monotonic() - begun + rng.uniform(*_BLOW_S)
        fleet.start()
        time.sleep(0.2)


def _storms_on(passed_s: float, plan: Plan, house: Installation) -> bool:
    """A storm lasts its time, and on a slow machine until most jobs have been through it."""
    if passed_s < plan.storm_s:
        return True
    left = len(house.unfinished()) / len(plan.files)
    return passed_s < _LONGEST * plan.storm_s and left > 1 - _THROUGH


def _upload_all(plan: Plan, house: Installation, weather: Weather) -> None:
    pause_s = plan.storm_s * _UPLOADING / len(plan.files)
    for index, file in enumerate(plan.files):
        house.put(index, file)
        if weather.happens("put_twice", _PUT_TWICE):
            house.put(index, file)
        time.sleep(pause_s)


def _poison(settings: Settings) -> list[str]:
    """Send what intake cannot take, and return the bodies: they are to become dead letters."""
    foreign = {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "eventName": "ObjectCreated:Put",
        "s3": {"bucket": {"name": "somebody-elses"}, "object": {"key": "uploads/x"}},
    }
    bodies = ["no JSON at all", '{"Records": [{}]}', json.dumps({"Records": [foreign]})]
    url = queue_url(settings, settings.queue("uploads"))
    for body in bodies:
        aws.client(settings, "sqs").send_message(QueueUrl=url, MessageBody=body)
    return bodies


def _reckon(
    result: Reckoning, house: Installation, plan: Plan, expected: Decisions, poison: list[str]
) -> None:
    ids = {index: upload.job_id for index, upload in house.uploads.items()}
    names = {ids[index]: file.path.name for index, file in enumerate(plan.files)}
    by_job = {ids[index]: decision for index, decision in expected.items()}
    reckoning.check_jobs(result, house.settings, by_job, names)
    reckoning.check_queues(result, house.settings, poison)
    reckoning.check_disk(result, house.work, house.temporary)
    left = strays(str(house.temporary))
    result.counts["processes_left"] = len(left)
    result.expect(not left, f"processes left: {left}")


def _names(house: Installation, plan: Plan, job_ids: list[str]) -> list[str]:
    return [
        plan.files[index].path.name
        for index, upload in house.uploads.items()
        if upload.job_id in job_ids
    ]
