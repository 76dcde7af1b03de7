"""What crosses a process border: uploads, jobs, partial results and verdicts."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from shared.errors import GuardianError

#: Version of every record below; readers accept their own version and older ones.
SCHEMA_VERSION = 1

#: Known clips that the system sends through its own queues; they are nobody's uploads.
PROBE_PREFIX = "uploads/.probe/"
Modality = Literal["audio", "video"]
MODALITIES: tuple[Modality, ...] = ("audio", "video")
Probability = Annotated[float, Field(ge=0.0, le=1.0)]
Seconds = Annotated[float, Field(ge=0.0)]


class Record(BaseModel):
    """Base of all records: immutable, strict about unknown fields, finite numbers only."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, protected_namespaces=()
    )


class JobStatus(StrEnum):
    """Where a job stands; the last three are final."""

    QUEUED = "queued"
    RUNNING = "running"
    COMPLETE = "complete"
    REJECTED = "rejected"
    FAILED = "failed"

    @property
    def final(self) -> bool:
        """Whether nothing more will happen to the job by itself."""
        return self in {JobStatus.COMPLETE, JobStatus.REJECTED, JobStatus.FAILED}


class Label(StrEnum):
    """The verdict in one word."""

    LIKELY_AUTHENTIC = "likely_authentic"
    SUSPICIOUS = "suspicious"
    LIKELY_MANIPULATED = "likely_manipulated"
    INCONCLUSIVE = "inconclusive"
    NOT_APPLICABLE = "not_applicable"
    FAILED = "failed"

    @property
    def accuses(self) -> bool:
        """Whether it calls the recording manipulated."""
        return self in {Label.SUSPICIOUS, Label.LIKELY_MANIPULATED}


class Outcome(StrEnum):
    """How one half ended."""

    SCORED = "scored"
    NOT_APPLICABLE = "not_applicable"
    FAILED = "failed"


class Upload(Record):
    """One object version in the uploads bucket, as a notification or S3 itself told it."""

    bucket: str
    key: str
    version_id: str | None = None
    etag: str = ""
    size_bytes: int | None = Field(default=None, ge=0)
    sequencer: str = ""

    @property
    def job_id(self) -> str:
        """Digest of bucket, key and version id (ETag where unversioned), 32 hex digits.

        The same upload is the same job, however often and in whatever wrapping its event comes.
        """
        version = self.version_id or f"etag:{self.etag.strip(chr(34))}"
        identity = f"{self.bucket}\0{self.key}\0{version}"
        return hashlib.sha256(identity.encode()).hexdigest()[:32]

    @property
    def is_probe(self) -> bool:
        """Whether it is a known clip of our own: in no list, count of verdicts or notice."""
        return self.key.startswith(PROBE_PREFIX)


class Track(Record):
    """One elementary stream of a recording."""

    index: int = Field(ge=0)
    kind: Modality
    codec: str
    duration_s: Seconds | None = None
    frames: int | None = Field(default=None, ge=0)
    sample_rate: int | None = None
    channels: int | None = None
    width: int | None = None
    height: int | None = None
    fps: float | None = None
    rotation_deg: int = 0
    pixel_format: str | None = None
    bit_rate: int | None = None
    start_s: Seconds = 0.0
    """When its first packet is due, counted from the first of all tracks."""


class Media(Record):
    """What a probe found in a file."""

    container: str
    duration_s: Seconds | None = None
    tracks: tuple[Track, ...] = ()

    def of_kind(self, kind: Modality) -> tuple[Track, ...]:
        """Return the tracks of one kind, first those that players choose, else in file order."""
        return tuple(track for track in self.tracks if track.kind == kind)


class ModelRef(Record):
    """The exact model behind a number."""

    name: str
    version: str
    sha256: str


class TimelinePoint(Record):
    """The probability of manipulation, at even prior, of one span of the recording."""

    start_s: Seconds
    end_s: Seconds
    probability: Probability


class Finding(Record):
    """One located observation with its type."""

    type: str
    start_s: Seconds
    end_s: Seconds
    detail: str
    strength: Probability = 1.0
    ruled_out: tuple[str, ...] = ()


class Coverage(Record):
    """What was looked at, and what was dropped and why."""

    analysed_s: Seconds = 0.0
    speech_s: Seconds | None = None
    faces: int | None = Field(default=None, ge=0)
    frames_sampled: int | None = Field(default=None, ge=0)
    windows: int | None = Field(default=None, ge=0)
    dropped: dict[str, int] = Field(default_factory=dict)


class Person(Record):
    """One face followed through the recording."""

    person: int = Field(ge=0)
    start_s: Seconds
    end_s: Seconds
    frames: int = Field(ge=1)
    llr: float
    probability: Probability


class SyncSeries(Record):
    """A compact series for cross-modal agreement: 8-bit values at a fixed rate.

    Series with the same start, one after the other, describe one stretch of the recording.
    """

    rate_hz: float = Field(gt=0)
    start_s: Seconds = 0.0
    values: tuple[int, ...] = ()


class EvidenceRef(Record):
    """A picture behind a score, kept in the reports bucket under evidence/{job_id}/."""

    name: str
    kind: str
    start_s: Seconds
    end_s: Seconds | None = None
    probability: Probability | None = None
    person: int | None = Field(default=None, ge=0)
    key: str | None = None


class ShadowHalf(Record):
    """What a second set of models made of one half; it decides nothing.

    Attributes:
        took_ms: Time of the second analysis; it is in no other timing.
    """

    outcome: Outcome
    reason: str | None = None
    llr: float | None = None
    llr_interval: tuple[float, float] | None = None
    probability: Probability | None = None
    coverage: Coverage = Coverage()
    findings: tuple[Finding, ...] = ()
    signals: dict[str, float] = Field(default_factory=dict)
    models: tuple[ModelRef, ...] = ()
    took_ms: float = Field(default=0.0, ge=0)


class PartialResult(Record):
    """One half of the evidence."""

    schema_version: int = SCHEMA_VERSION
    modality: Modality
    outcome: Outcome
    reason: str | None = None
    message: str | None = None
    llr: float | None = None
    llr_interval: tuple[float, float] | None = None
    probability: Probability | None = None
    coverage: Coverage = Coverage()
    timeline: tuple[TimelinePoint, ...] = ()
    findings: tuple[Finding, ...] = ()
    persons: tuple[Person, ...] = ()
    signals: dict[str, float] = Field(default_factory=dict)
    sync: tuple[SyncSeries, ...] = ()
    evidence: tuple[EvidenceRef, ...] = ()
    provenance: dict[str, str] | None = None
    models: tuple[ModelRef, ...] = ()
    timings_ms: dict[str, float] = Field(default_factory=dict)
    attempt: int = Field(default=1, ge=1)
    shadow: ShadowHalf | None = None
    analysed_at: datetime | None = None
    """When, where it is the result of an earlier analysis of the same content."""


@dataclass(frozen=True)
class Evidence:
    """A picture behind a score, on its way to the reports bucket."""

    ref: EvidenceRef
    content: bytes = field(repr=False)
    content_type: str = "image/jpeg"


@dataclass(frozen=True)
class Analysis:
    """What a pipeline hands back: the record, and the pictures it refers to."""

    result: PartialResult
    evidence: tuple[Evidence, ...] = ()


class Reason(Record):
    """Why the verdict is what it is, in plain words."""

    code: str
    text: str
    weight: float = 0.0
    start_s: Seconds | None = None
    end_s: Seconds | None = None
    offset_s: float | None = None
    places_s: tuple[Seconds, ...] = ()
    """Where it is more than one place: all of them, in order."""
    spans_s: tuple[tuple[Seconds, Seconds], ...] = ()
    """Where it is more than one span: all of them, the most telling one first."""
    person: int | None = Field(default=None, ge=0)
    """Whose face it is about, where several were scored."""


class ShadowVerdict(Record):
    """What the verdict would be by a second set of models; it decides nothing.

    Attributes:
        flip: Whether its label is another one than the verdict's.
        models: All models behind it; where the second set has none, those that decide.
    """

    label: Label
    flip: bool
    probability: Probability | None = None
    llr: float | None = None
    models: tuple[ModelRef, ...] = ()


class Verdict(Record):
    """The statement about one upload."""

    schema_version: int = SCHEMA_VERSION
    label: Label
    probability: Probability | None = None
    llr: float | None = None
    prior: Probability
    interval: tuple[Probability, Probability] | None = None
    audio_probability: Probability | None = None
    video_probability: Probability | None = None
    modalities_used: tuple[str, ...] = ()
    manipulated_part: str | None = None
    reasons: tuple[Reason, ...] = ()
    persons: tuple[Person, ...] = ()
    timeline: dict[str, tuple[TimelinePoint, ...]] = Field(default_factory=dict)
    provenance: dict[str, str] | None = None
    next_step: str = ""
    model: ModelRef
    decided_at: datetime
    shadow: ShadowVerdict | None = None


class Superseded(Record):
    """An earlier verdict on the same upload, and the models that it came from."""

    label: Label
    probability: Probability | None = None
    llr: float | None = None
    modalities_used: tuple[str, ...] = ()
    decided_at: datetime
    models: tuple[ModelRef, ...] = ()


class JobError(Record):
    """Why a job was rejected or failed."""

    code: str
    message: str

    @classmethod
    def of(cls, error: GuardianError) -> JobError:
        """Return what is kept of an error."""
        return cls(code=error.code, message=error.message)


class Telling(Record):
    """How far those who want to hear of a verdict have been told."""

    state: Literal["pending", "delivered", "gave_up"] = "pending"
    done: tuple[str, ...] = ()
    attempts: int = Field(default=0, ge=0)
    since: datetime
    last_error: str | None = None


class Job(Record):
    """One upload and all that is known about it."""

    schema_version: int = SCHEMA_VERSION
    job_id: str
    status: JobStatus
    bucket: str
    key: str
    version_id: str | None = None
    etag: str = ""
    size_bytes: int | None = None
    sha256: str | None = None
    media: Media | None = None
    created_at: datetime
    updated_at: datetime
    asked_at: datetime | None = None
    """When its tasks were last sent; None in rows of earlier releases."""
    expires_at: datetime | None = None
    audio: PartialResult | None = None
    video: PartialResult | None = None
    aggregation: str | None = None
    decided_on: str | None = None
    verdict: Verdict | None = None
    superseded: tuple[Superseded, ...] = ()
    report_key: str | None = None
    cache_hit: bool = False
    fresh: bool = False
    event: str | None = None
    begun: tuple[Modality, ...] = ()
    sweeps: int = Field(default=0, ge=0)
    error: JobError | None = None
    telling: Telling | None = None

    def half(self, modality: Modality) -> PartialResult | None:
        """Return one half; None where it is not there."""
        return self.audio if modality == "audio" else self.video

    @property
    def halves(self) -> tuple[PartialResult, ...]:
        """The halves that are there."""
        return tuple(half for half in (self.audio, self.video) if half)

    @property
    def missing(self) -> tuple[Modality, ...]:
        """Which halves are not there."""
        return tuple(modality for modality in MODALITIES if self.half(modality) is None)

    @property
    def outcomes(self) -> str:
        """What each half has come to; `decided_on` is the same at the time of the verdict."""
        halves = ((name, self.half(name)) for name in MODALITIES)
        return " ".join(f"{name}:{half.outcome if half else 'missing'}" for name, half in halves)

    def as_superseded(self) -> Superseded | None:
        """Return the verdict as the next one will remember it; None where there is none."""
        if self.verdict is None:
            return None
        kept = self.verdict.model_dump(
            include={"label", "probability", "llr", "modalities_used", "decided_at"}
        )
        models = [ref for half in self.halves for ref in half.models]
        return Superseded(**kept, models=(*models, self.verdict.model))

    @property
    def upload(self) -> Upload:
        """The object version that the job is about."""
        return Upload(
            bucket=self.bucket,
            key=self.key,
            version_id=self.version_id,
            etag=self.etag,
            size_bytes=self.size_bytes,
        )


class ErasureReceipt(Record):
    """What is left of a job that was erased: that it was, and what went, without a name.

    Attributes:
        key_sha256: Digest of the object's key; keys can carry names.
        content_sha256: Digest of the recording, where it had been read.
        removed: How many objects and rows went, by kind; 0 for what was gone already.
    """

    kind: Literal["erasure"] = "erasure"
    job_id: str
    erased_at: datetime
    erased_by: str
    bucket: str
    key_sha256: str
    version_id: str | None = None
    content_sha256: str | None = None
    removed: dict[str, int]
