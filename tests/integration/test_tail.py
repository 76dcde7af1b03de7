"""The newest jobs in memory: the same rows as the table has, whatever changed between two looks."""

import unicodedata
from datetime import UTC, datetime, timedelta

import pytest

from shared import aws, listing
from shared.jobs import SHARDS, JobStore
from shared.records import Upload
from shared.rows import JobSummary
from shared.telemetry import UNREADABLE
from workers.console import feed, tail
from workers.console.tail import Tail

pytestmark = pytest.mark.integration
START = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture
def store(aws_settings):
    return JobStore(aws_settings)


@pytest.fixture
def small(monkeypatch):
    for name, value in (("KEPT", 20), ("_HEAD", 6), ("_SLICE", 5)):
        monkeypatch.setattr(tail, name, value)


def add(store, count, start=0):
    made = []
    for number in range(start, start + count):
        upload = Upload(bucket="b", key=f"uploads/{number}.mp4", etag="e", size_bytes=1)
        made.append(store.create(upload, START + timedelta(seconds=number)).job.job_id)
    return made


def crowd(store, count, at):
    """Make jobs of one microsecond; their ids."""
    made = []
    for number in range(count):
        upload = Upload(bucket="b", key=f"uploads/{at.minute}-{number}.mp4", etag="e")
        made.append(store.create(upload, at).job.job_id)
    return made


def looks(kept, times):
    for _ in range(times):
        kept.look()


def ids(rows):
    return [row.job_id for row in rows]


def test_a_list_asks_each_shard_for_its_share_and_misses_nothing(store, aws_settings):
    made = add(store, 45)
    for limit in (1, 7, 44, 45, 60):
        assert ids(listing.newest(aws_settings, SHARDS, limit)) == made[::-1][:limit]
    before = (START + timedelta(seconds=10)).isoformat(timespec="microseconds")
    assert ids(listing.newest(aws_settings, SHARDS, 5, before)) == made[5:10][::-1]


def test_a_shard_that_holds_all_the_newest_is_asked_again(store, aws_settings, monkeypatch):
    monkeypatch.setattr("shared.jobs.zlib.crc32", lambda _: 3)
    made = add(store, 30)
    assert ids(listing.newest(aws_settings, SHARDS, 20)) == made[::-1][:20]


def test_rows_of_another_release_hide_no_other_job(store, aws_settings):
    made = add(store, 30)
    for job_id in made[10:]:
        aws.client(aws_settings, "dynamodb").update_item(
            TableName=aws_settings.table,
            Key={"pk": {"S": job_id}},
            UpdateExpression="SET #status = :status",
            ExpressionAttributeNames={"#status": "status"},
            ExpressionAttributeValues={":status": {"S": "of tomorrow"}},
        )
    before = UNREADABLE.labels("job")._value.get()

    assert ids(listing.newest(aws_settings, SHARDS, 5)) == made[:10][::-1][:5]
    assert UNREADABLE.labels("job")._value.get() == before + 20


def test_the_first_jobs_ever_count_as_arrivals_those_before_the_start_do_not(store, small):
    early = Tail(store)
    early.look()
    add(store, 2)
    late = Tail(store)
    looks(early, 2)
    looks(late, 2)

    assert (early.arrived, late.arrived) == (2, 0)


def test_the_tail_follows_new_jobs_changes_and_erasures(store, small):
    kept = Tail(store)
    made = add(store, 18)
    kept.look()
    assert ids(kept.rows) == made[::-1][:11]  # the head and one slice
    looks(kept, 2)
    assert (ids(kept.rows), kept.below(None)[1]) == (made[::-1], True)

    made += add(store, 3, start=18)
    store.begin(made[0], "audio", START)  # three slices down
    store.erase(made[4])
    looks(kept, 4)
    assert ids(kept.rows) == [job_id for job_id in made[::-1] if job_id != made[4]]
    assert kept.rows[-1].status == "running"
    assert kept.arrived == 3


def test_more_than_is_kept_is_read_from_the_table(store, small):
    kept = Tail(store)
    made = add(store, 33)
    looks(kept, 4)
    assert (ids(kept.rows), kept.below(None)[1]) == (made[::-1][:20], False)

    found, before = [], None
    for _ in range(9):
        page = feed.page(store, kept, feed.Wanted(), 4, before)
        found += ids(page.jobs)
        before = page.next
        if before is None:
            break
    assert found == made[::-1]


@pytest.mark.parametrize("watched", [True, False])
@pytest.mark.parametrize("wanted", [feed.Wanted(), feed.Wanted(text="uploads/")])
def test_jobs_of_one_microsecond_are_on_one_page(store, small, watched, wanted):
    made = [crowd(store, 9, START + timedelta(minutes=minute)) for minute in range(4)]
    kept = Tail(store)
    looks(kept, 6 * watched)

    found, before = [], None
    while len(found) <= len(made):
        page = feed.page(store, kept, wanted, 4, before)
        found += [set(ids(page.jobs))] if page.jobs else []
        before = page.next
        if before is None:
            break

    assert found == [set(group) for group in reversed(made)]
    if watched:
        assert set(ids(kept.rows)) == {job_id for group in made[1:] for job_id in group}


@pytest.mark.parametrize("key", ["NFC", "NFD"])
@pytest.mark.parametrize("text", ["NFC", "NFD"])
def test_a_search_finds_a_name_in_whatever_form_it_is_written(key, text):
    row = JobSummary(
        job_id="0" * 32,
        status="queued",
        bucket="b",
        key=unicodedata.normalize(key, "uploads/회의 Été.mp4"),
        created_at=START,
        updated_at=START,
    )

    assert feed.Wanted(text=unicodedata.normalize(text, " 회의 été")).fits(row)
    assert not feed.Wanted(text="회식").fits(row)


def test_a_search_looks_through_memory_first_and_then_further_down(store, small):
    kept = Tail(store)
    made = add(store, 33)
    looks(kept, 4)
    wanted = feed.Wanted(text="uploads/1.mp4")
    first = feed.page(store, kept, wanted, 4, None)
    assert (first.jobs, first.looked_at) == ([], 20)
    second = feed.page(store, kept, wanted, 4, first.next)
    assert (ids(second.jobs), second.next) == ([made[1]], None)


def test_what_is_old_or_has_just_been_changed_is_asked_of_the_table(store, small):
    now = [100.0]
    kept = Tail(store, clock=lambda: now[0])
    (first,) = add(store, 1)
    kept.look()
    store.erase(first)

    assert ids(feed.page(store, kept, feed.Wanted(), 4, None).jobs) == [first]
    kept.expire(first)
    assert feed.page(store, kept, feed.Wanted(), 4, None).jobs == []
    now[0] += 1
    kept.look()
    add(store, 1, start=7)
    assert feed.page(store, kept, feed.Wanted(), 4, None).jobs == []
    now[0] += tail.FRESH_S + 1
    assert len(feed.page(store, kept, feed.Wanted(), 4, None).jobs) == 1


def test_a_job_far_down_that_was_erased_or_changed_is_not_shown_as_it_was(store, small):
    kept = Tail(store)
    made = add(store, 18)
    looks(kept, 4)
    store.erase(made[1])
    kept.expire(made[1])
    store.begin(made[2], "audio", START)
    kept.expire(made[2])
    kept.look()

    assert kept.fresh
    assert made[1] not in ids(kept.rows)
    assert {row.job_id: row.status for row in kept.rows}[made[2]] == "running"
    assert len(kept.rows) == 17
