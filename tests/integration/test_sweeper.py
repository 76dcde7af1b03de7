"""What got stuck is mended: jobs in every state, uploads without a job, by one of many sweepers."""

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from shared import aws, depths, halves, items, presence, queues
from shared.jobs import JobStore
from shared.models import Registry
from shared.queues import queue_url
from shared.records import JobStatus, Outcome, PartialResult, Upload
from shared.telemetry import SWEEPER_REPAIRS, SWEEPS, UNREADABLE
from workers.aggregator import fusion, service, sweeper, turns
from workers.aggregator.lost import Patrol

pytestmark = pytest.mark.integration
NOW = datetime.now(UTC)
LATER = NOW + timedelta(hours=1)


@pytest.fixture
def store(aws_settings, sending):
    return JobStore(aws_settings)


@pytest.fixture(scope="module")
def model():
    return fusion.load(Registry())


def new_job(store, settings, name="a", halves=(), made=NOW):
    upload = Upload(bucket=settings.uploads_bucket, key=f"uploads/{name}", etag="e", size_bytes=1)
    job_id = store.create(upload, made).job.job_id
    for modality in halves:
        half = PartialResult(modality=modality, outcome=Outcome.NOT_APPLICABLE, reason="no_speech")
        store.save_partial(job_id, half, NOW)
    return job_id


def decided(store, settings, model, name="a"):
    """A job whose aggregator died between verdict and report."""
    job = store.get(new_job(store, settings, name, ("audio", "video")))
    verdict = fusion.decide(job.audio, job.video, prior=0.5, decided_at=NOW, model=model)
    store.finish(job, verdict, NOW, report_key=service.report_key(job.job_id))
    return job.job_id


def visible(settings, name):
    return depths.backlog(settings, name)


def purge(settings, name):
    url = queue_url(settings, settings.queue(name))
    aws.client(settings, "sqs").purge_queue(QueueUrl=url)


# --- jobs -----------------------------------------------------------------------------------------


def test_rows_of_another_release_are_passed_over_and_counted(store, aws_settings):
    count = {kind: UNREADABLE.labels(kind)._value.get() for kind in ("job", "worker")}
    strange, plain = (new_job(store, aws_settings, name) for name in "ab")
    with pytest.raises(ValueError):  # the update gives back the row
        store._table.update(strange, "SET verdict = :v, updated = :now", {":v": "{}"}, NOW)
    items.put(aws_settings, "worker", "w", {"name": "w", "of": "tomorrow"}, NOW, 60)

    assert [job.job_id for job in store.overdue(LATER)] == [plain]
    assert presence.alive(aws_settings, NOW) == []
    for kind, before in count.items():
        assert UNREADABLE.labels(kind)._value.get() == before + 1


def test_rows_that_cannot_be_read_take_no_place_from_others(store, aws_settings):
    names = [f"n{number}" for number in range(40)]
    made = {name: new_job(store, aws_settings, name) for name in names}
    for name in names[:32]:
        with pytest.raises(ValueError):
            store._table.update(made[name], "SET verdict = :v, updated = :now", {":v": "{}"}, NOW)

    found = {job.job_id for job in store.overdue(LATER, limit=8)}

    assert found == {made[name] for name in names[32:]}


def test_a_job_that_is_erased_in_the_middle_of_a_sweep_stops_nothing(store, aws_settings):
    gone, there = (new_job(store, aws_settings, name) for name in "ab")

    class Late(JobStore):
        def overdue(self, now, limit=100):
            found = [self.get(job_id) for job_id in (gone, there)]
            self.erase(gone)
            return iter(found)

    assert sweeper.sweep(aws_settings, Late(aws_settings), LATER) == {"never_started": 1}


def test_a_verdict_without_a_report_gets_it(store, aws_settings, model):
    job_id = decided(store, aws_settings, model)

    assert sweeper.sweep(aws_settings, store, LATER) == {"no_report": 1}
    assert visible(aws_settings, "aggregate") == 1
    service.conclude(aws_settings, store, job_id, model, LATER)

    key = service.report_key(job_id)
    found = aws.client(aws_settings, "s3").get_object(Bucket=aws_settings.reports_bucket, Key=key)
    assert json.loads(found["Body"].read())["job_id"] == job_id
    assert list(store.overdue(LATER + timedelta(days=1))) == []


def test_a_job_whose_verdict_never_comes_says_so(store, aws_settings):
    hasty = aws_settings.model_copy(update={"max_receive_count": 1})
    job_id = new_job(store, aws_settings, halves=("audio", "video"))
    assert sweeper.sweep(hasty, store, LATER) == {"no_verdict": 1}
    purge(aws_settings, "aggregate")

    assert sweeper.sweep(hasty, store, LATER + timedelta(hours=1)) == {"given_up": 1}

    job = store.get(job_id)
    assert (job.status, job.error.code) == (JobStatus.FAILED, "no_verdict")


def test_a_report_that_is_never_written_ends_the_requests_and_keeps_the_verdict(
    store, aws_settings, model
):
    hasty = aws_settings.model_copy(update={"max_receive_count": 1})
    job_id = decided(store, aws_settings, model)
    sweeper.sweep(hasty, store, LATER)
    purge(aws_settings, "aggregate")

    assert sweeper.sweep(hasty, store, LATER + timedelta(hours=1)) == {"never_reported": 1}

    assert store.get(job_id).status is JobStatus.COMPLETE
    assert list(store.overdue(LATER + timedelta(days=1))) == []


def test_a_job_that_a_worker_is_working_on_is_left_alone(store, aws_settings):
    job_id = new_job(store, aws_settings, halves=("audio",))
    stop = threading.Event()
    beat = presence.announce(aws_settings, "video", lambda: [job_id], stop)
    try:
        while not presence.alive(aws_settings, datetime.now(UTC)):
            time.sleep(0.02)
        soon = datetime.now(UTC) + timedelta(seconds=5)
        hasty = aws_settings.model_copy(update={"stuck_after_s": 1})
        job = store.get(job_id)
        JobStore(hasty).postpone(job, NOW - timedelta(hours=1))

        assert sweeper.sweep(hasty, JobStore(hasty), soon) == {}
    finally:
        stop.set()
        beat.join(10)
    assert visible(aws_settings, "video") == 0
    assert store.get(job_id).sweeps == 0


def at_work(settings, role, job_id, now, name="w"):
    """A worker says that it does a job."""
    worker = presence.Worker(name=name, role=role, doing=(job_id,), started_at=now, seen_at=now)
    items.put(settings, "worker", name, worker.model_dump(mode="json"), now, 60)


def test_no_verdict_rests_on_a_last_attempt_that_is_under_way(store, aws_settings):
    job_id = new_job(store, aws_settings, halves=("audio",))
    stand_in = halves._worker_lost("video", 5)
    halves.pass_on(aws_settings, store, store.save_partial(job_id, stand_in, NOW))
    at_work(aws_settings, "video", job_id, LATER)

    assert sweeper.sweep(aws_settings, store, LATER) == {}
    assert visible(aws_settings, "aggregate") == 0

    assert sweeper.sweep(aws_settings, store, LATER + timedelta(hours=1)) == {"no_verdict": 1}
    assert visible(aws_settings, "aggregate") == 1


def test_a_half_is_not_excused_by_the_queue_of_the_other(store, aws_settings):
    new_job(store, aws_settings)
    queues.send_analysis(aws_settings, "video", "one that waits")

    assert sweeper.sweep(aws_settings, store, LATER) == {"half_missing": 1}
    assert (visible(aws_settings, "audio"), visible(aws_settings, "video")) == (1, 1)


def test_a_task_that_the_queue_has_come_past_is_sent_again_and_waits_its_turn(store, aws_settings):
    lost = new_job(store, aws_settings, halves=("audio",))
    made = NOW + timedelta(minutes=50)
    younger = new_job(store, aws_settings, "b", halves=("audio",), made=made)
    queues.send_analysis(aws_settings, "video", "one that waits")
    at_work(aws_settings, "video", younger, LATER)

    assert sweeper.sweep(aws_settings, store, LATER) == {"half_missing": 1}
    assert visible(aws_settings, "video") == 2
    much_later = LATER + timedelta(hours=3)
    at_work(aws_settings, "video", younger, much_later)
    assert sweeper.sweep(aws_settings, store, much_later) == {}, "the queue has not come past it"
    assert visible(aws_settings, "video") == 2
    assert (store.get(lost).sweeps, store.get(younger).sweeps) == (1, 0)


def test_a_backlog_of_a_day_makes_no_second_message(store, aws_settings):
    in_work = new_job(store, aws_settings, "first", halves=("audio",))
    for number in range(8):
        new_job(store, aws_settings, f"{number}", halves=("audio",))
        queues.send_analysis(aws_settings, "video", f"{number}")

    for hours in range(1, 25):
        now = NOW + timedelta(hours=hours)
        at_work(aws_settings, "video", in_work, now)
        assert sweeper.sweep(aws_settings, store, now) == {}
    assert visible(aws_settings, "video") == 8


def test_what_waits_where_nobody_works_is_given_up_by_nobody(store, aws_settings):
    job_id = new_job(store, aws_settings, halves=("audio",))
    queues.send_analysis(aws_settings, "video", job_id)

    for hours in range(1, 25):
        assert sweeper.sweep(aws_settings, store, NOW + timedelta(hours=hours)) == {}
    assert sweeper.sweep(aws_settings, store, NOW + timedelta(days=15)) == {"half_missing": 1}


def test_a_half_that_is_given_up_leaves_the_other_its_requests(store, aws_settings):
    hasty = aws_settings.model_copy(update={"max_receive_count": 1})
    job_id = new_job(store, aws_settings)
    queues.send_analysis(hasty, "video", job_id)  # and no worker takes it
    assert sweeper.sweep(hasty, store, LATER) == {"half_missing": 1}
    purge(hasty, "audio")

    assert sweeper.sweep(hasty, store, LATER + timedelta(hours=1)) == {"given_up": 1}

    job = store.get(job_id)
    assert (job.audio.outcome, job.video, job.sweeps) == (Outcome.FAILED, None, 0)


def test_a_beat_that_goes_wrong_is_followed_by_others(aws_settings, monkeypatch):
    monkeypatch.setattr(presence, "BEAT_S", 0.05)
    looks, second, stop = [], threading.Event(), threading.Event()

    def doing():
        looks.append(None)
        if len(looks) == 1:  # as a set says that another thread changes
            raise RuntimeError("Set changed size during iteration")
        second.set()
        return []

    beat = presence.announce(aws_settings, "video", doing, stop)
    try:
        assert second.wait(10)
    finally:
        stop.set()
        beat.join(10)


def test_more_workers_than_a_page_are_all_heard(aws_settings):
    for number in range(103):
        at_work(aws_settings, "video", str(number), NOW, f"w-{number}")

    found = presence.alive(aws_settings, NOW)

    assert {job_id for worker in found for job_id in worker.doing} == set(map(str, range(103)))


def test_two_sweepers_at_once_ask_once_for_each_thing(store, aws_settings, model, monkeypatch):
    states = {"never_started": (), "half_missing": ("audio",), "no_verdict": ("audio", "video")}
    for name, present in states.items():
        for number in range(4):
            new_job(store, aws_settings, f"{name}-{number}", present)
    for number in range(4):
        decided(store, aws_settings, model, f"no_report-{number}")
    together, lines = threading.Barrier(2, timeout=60), turns.lines

    def look_before_the_other_acts(*where):
        found = lines(*where)
        together.wait()
        return found

    def sweep(_):
        return sweeper.sweep(aws_settings, JobStore(aws_settings), LATER)

    monkeypatch.setattr(turns, "lines", look_before_the_other_acts)

    with ThreadPoolExecutor(2) as pool:
        one, two = pool.map(sweep, range(2))

    assert one + two == dict.fromkeys((*states, "no_report"), 4)
    sent = {name: visible(aws_settings, name) for name in ("audio", "video", "aggregate")}
    assert sent == {"audio": 4, "video": 8, "aggregate": 8}


def test_a_sweep_that_fails_is_counted_and_the_next_one_comes(aws_settings, monkeypatch):
    def failed():
        return SWEEPS.labels("failed")._value.get()

    calls = []

    def broken(*_):
        calls.append(1)
        raise ValueError("a row that nobody understands")

    monkeypatch.setattr(sweeper, "sweep", broken)
    before, stop = failed(), threading.Event()
    quick = aws_settings.model_copy(update={"sweep_interval_s": 0.01})
    thread = threading.Thread(target=sweeper.run, args=(quick, stop))
    thread.start()
    while len(calls) < 3:
        time.sleep(0.01)
    stop.set()
    thread.join(10)

    assert failed() - before >= 2
    (metric,) = SWEEPER_REPAIRS.collect()
    kinds = {sample.labels["kind"] for sample in metric.samples}
    assert kinds >= set(sweeper.KINDS), "each kind is shown from the start"


# --- uploads without a job ------------------------------------------------------------------------


@pytest.fixture
def forgotten(house):
    """Uploads whose events are lost: the stand-in's are taken away."""

    def put(*names):
        uploads = [house.put(f"uploads/{name}", name.encode()) for name in names]
        empty(house)
        return uploads

    return put


def empty(house):
    """Take all events away; a purge is allowed once a minute."""
    while messages := house.sqs.receive_message(
        QueueUrl=house.url, MaxNumberOfMessages=10, WaitTimeSeconds=0
    ).get("Messages"):
        for message in messages:
            house.sqs.delete_message(QueueUrl=house.url, ReceiptHandle=message["ReceiptHandle"])


def look(house, patrol, now=LATER):
    return patrol.look(now)


async def test_an_upload_whose_event_was_lost_becomes_a_job(house, forgotten):
    uploads = forgotten("lost one+ü.mp4", "b", "c", "d", "e")

    assert look(house, Patrol(house.settings, page=2)) == len(uploads)
    await house.drain()

    jobs = house.jobs()
    assert {key: row.job_id for key, row in jobs.items()} == {
        upload.key: upload.job_id for upload in uploads
    }


def test_an_upload_with_a_job_and_a_young_one_are_left_alone(house, forgotten):
    with_job, _ = forgotten("known", "other")
    house.store.create(with_job, NOW)

    assert look(house, Patrol(house.settings), datetime.now(UTC)) == 0
    assert look(house, Patrol(house.settings), LATER) == 1
    assert house.depth().visible == 1


def test_nothing_is_sent_while_events_wait(house, forgotten):
    forgotten("lost")
    house.send(text="something that waits")

    assert look(house, Patrol(house.settings)) == 0


def test_an_old_upload_is_left_alone(house, forgotten):
    forgotten("long ago")

    assert look(house, Patrol(house.settings), NOW + timedelta(days=8)) == 0


def test_a_round_of_the_bucket_is_followed_by_a_pause_and_pages_are_bounded(house, forgotten):
    forgotten(*(f"{number:02d}" for number in range(7)))
    patrol = Patrol(house.settings, page=1)

    assert look(house, patrol) == 5
    empty(house)
    assert look(house, patrol) == 2, "the next sweep goes on where the last one stopped"
    empty(house)
    assert look(house, patrol, LATER + timedelta(seconds=1)) == 0
    assert look(house, patrol, LATER + timedelta(hours=1)) == 5, "still without a job"


def test_two_patrols_at_once_send_each_event_once(house, forgotten, monkeypatch):
    uploads = forgotten(*(f"{number:02d}" for number in range(12)))
    first, second, sent = Patrol(house.settings), Patrol(house.settings), []
    claim = items.claim

    def overtaken(*arguments):
        """The first has found out what is lost; before it claims any, the second does all of it."""
        monkeypatch.setattr(items, "claim", claim)
        sent.append(look(house, second))
        return claim(*arguments)

    monkeypatch.setattr(items, "claim", overtaken)
    sent.append(look(house, first))

    assert sent == [len(uploads), 0]
    assert house.depth().visible == len(uploads)


def test_an_upload_that_is_never_taken_in_is_rejected_in_the_end(house, forgotten):
    (upload,) = forgotten("poison")
    patrol = Patrol(house.settings)
    tries = house.settings.max_receive_count
    for number in range(tries):
        assert look(house, patrol, LATER + timedelta(hours=number)) == 1
        empty(house)

    assert look(house, patrol, LATER + timedelta(hours=tries)) == 0

    job = house.store.get(upload.job_id)
    assert (job.status, job.error.code) == (JobStatus.REJECTED, "not_admitted")
    again = house.store.create(upload, LATER, "its dead letter, sent back")
    assert (again.applied, again.job.status, again.job.error) == (True, JobStatus.QUEUED, None)
    assert not house.store.create(upload, LATER).applied


def test_the_patrol_can_be_switched_off(house, forgotten):
    forgotten("lost")
    off = house.settings.model_copy(update={"bucket_sweep_interval_s": 0})

    assert Patrol(off).look(LATER) == 0


def test_a_claim_is_one_in_a_stretch_of_time(aws_settings):
    def claim(after_s):
        now = NOW + timedelta(seconds=after_s)
        return items.claim(aws_settings, "test", "x", now, again_after_s=10, keep_s=60)

    assert [claim(0), claim(0), claim(9), claim(10), claim(11)] == [1, 0, 0, 2, 0]


def test_more_keys_than_a_batch_are_all_looked_for(aws_settings):
    items.put(aws_settings, "kind", "249", {}, NOW, 60)

    assert items.existing(aws_settings, [f"kind:{n}" for n in range(250)]) == {"kind:249"}
