"""The plan's queue behaves as the real one: waits in a running fleet are those it foretells."""

import time
import uuid

import numpy as np
import pytest

from shared import aws
from shared.jobs import JobStore
from shared.records import JobStatus
from shared.settings import Settings
from workers import local, probe
from workers.plan import Cluster, Scaling, simulate
from workers.samples import SAMPLES

pytestmark = [pytest.mark.integration, pytest.mark.alone]
_WAIT_S = 180
#: How far the mean time from upload to verdict may lie from what was foretold.
STATED_ERROR = 0.4
ONE_POD = Scaling(min_pods=1, max_pods=1)
READY = Cluster(pod_start_s=0, node_start_s=0)


@pytest.fixture(scope="module")
def system(tmp_path_factory):
    state, work = tmp_path_factory.mktemp("state"), tmp_path_factory.mktemp("work")
    with local.running(Settings(state_dir=state, work_dir=work / "private")) as running:
        yield running


def upload(system) -> str:
    """Upload a video that no other upload equals."""
    content = probe.unlike_any_other(SAMPLES[0].read_bytes())
    key = f"uploads/{uuid.uuid4().hex}/clip.mp4"
    bucket = system.settings.uploads_bucket
    aws.client(system.settings, "s3").put_object(Bucket=bucket, Key=key, Body=content)
    return key


def verdicts(system, arrivals_s):
    """Upload at these times, wait for every verdict, and return the jobs in order."""
    began = time.monotonic()
    keys = []
    for at in arrivals_s:
        time.sleep(max(0.0, began + at - time.monotonic()))
        keys.append(upload(system))
    store, end = JobStore(system.settings), time.monotonic() + _WAIT_S
    while time.monotonic() < end:
        jobs = {job.key: job for job in store.newest(100)}
        done = [jobs[key] for key in keys if key in jobs]
        if sum(job.status is JobStatus.COMPLETE for job in done) == len(keys):
            return [store.get(job.job_id) for job in done]
        time.sleep(0.2)
    pytest.fail("not every upload has its verdict")


def sojourns_s(jobs):
    """Seconds from upload to verdict."""
    return np.array([(job.updated_at - job.created_at).total_seconds() for job in jobs])


def worked_s(jobs):
    """Seconds that the video worker itself counted for each job."""
    return np.array([sum(job.video.timings_ms.values()) / 1000 for job in jobs])


def test_the_fleet_takes_as_long_as_the_plan_says(system):
    verdicts(system, [0.0])  # loads what is loaded with the first job
    alone = verdicts(system, [0.0])
    burst = verdicts(system, [0.0] * 4)
    between_s = float(np.median(np.diff(np.sort(sojourns_s(burst)))))
    overhead_s = max(0.0, between_s - float(np.median(worked_s(burst))))
    around_s = float((sojourns_s(alone) - worked_s(alone))[0]) - overhead_s

    arrivals_s = np.cumsum(np.random.default_rng(7).exponential(0.8 * between_s, 8))
    jobs = verdicts(system, arrivals_s)
    services_s = worked_s(jobs) + overhead_s
    foretold = simulate(arrivals_s, services_s, ONE_POD, READY)
    expected_s = float(np.mean(foretold.finished_s - arrivals_s)) + around_s
    found_s = float(np.mean(sojourns_s(jobs)))

    assert found_s == pytest.approx(expected_s, rel=STATED_ERROR), services_s
