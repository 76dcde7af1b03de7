"""The one error tree: what may be tried again, and what may not."""

from __future__ import annotations

from typing import ClassVar


class GuardianError(Exception):
    """Something went wrong in Silver Guardian."""

    code: ClassVar[str] = "error"

    def __init__(self, message: str | None = None) -> None:
        """Take a message; the class docstring is the default."""
        self.message = message or (self.__doc__ or "").strip().splitlines()[0]
        super().__init__(self.message)


def code_of(error: BaseException) -> str:
    """Return the reason code of an error; one that is not ours is `internal_error`."""
    return error.code if isinstance(error, GuardianError) else "internal_error"


# --- Retryable: the same call may succeed later -------------------------------------------------


class Retryable(GuardianError):
    """A passing fault; the work goes back to its queue and is tried again."""

    code = "retryable"


class ServiceUnavailable(Retryable):
    """An AWS service throttled, timed out or answered with a server error."""

    code = "service_unavailable"


class ReceiptLost(Retryable):
    """SQS no longer keeps the message for the worker that has it; another may do the work too."""

    code = "receipt_lost"


class DecoderTimeout(Retryable):
    """The decoder did not finish inside its wall-clock limit."""

    code = "decoder_timeout"


class Busy(Retryable):
    """All places in the queue of this process are taken; ask again in a moment."""

    code = "busy"


class NotReady(Retryable):
    """The process has started and is not ready yet."""

    code = "not_ready"


class Stuck(Retryable):
    """The process hangs, and has to be started anew."""

    code = "stuck"


# --- Permanent: trying again gives the same answer ----------------------------------------------


class Permanent(GuardianError):
    """The input itself is the reason; trying again would not help."""

    code = "permanent"


class Rejected(Permanent):
    """The upload is not accepted for analysis."""

    code = "rejected"


class KeyOutsideUploads(Rejected):
    """Only keys under uploads/ are analysed."""

    code = "key_outside_uploads"


class WrongBucket(Rejected):
    """The object lies in a bucket that this installation does not watch."""

    code = "wrong_bucket"


class EmptyObject(Rejected):
    """The object has no bytes."""

    code = "empty_object"


class TooLarge(Rejected):
    """The object is larger than what is analysed."""

    code = "too_large"

    @classmethod
    def than(cls, max_bytes: int) -> TooLarge:
        """Return the error that tells the limit in force."""
        return cls(f"At most {max_bytes} bytes are analysed.")


class NotMedia(Rejected):
    """The content is no video or audio container that can be analysed, whatever its name says."""

    code = "not_media"


class ObjectGone(Rejected):
    """There is no such object in the bucket, or no longer."""

    code = "object_gone"


class NotAdmitted(Rejected):
    """The upload was never taken in, however often it was asked for."""

    code = "not_admitted"


class NoVerdict(Permanent):
    """Both halves are there, but no verdict came, however often it was asked for."""

    code = "no_verdict"


class ObjectChanged(Permanent):
    """The object was overwritten after the job began; the new version is a job of its own."""

    code = "object_changed"


class Undecodable(Permanent):
    """The file could not be decoded."""

    code = "undecodable"


class MediaTooComplex(Permanent):
    """The file asks for more picture, tracks or time than the decoder is allowed."""

    code = "media_too_complex"


class WorkerLost(Permanent):
    """The analysis ended its process."""

    code = "worker_lost"


class UnparsableEvent(Permanent):
    """The message is no S3 notification in any known wrapping."""

    code = "unparsable_event"


class UnknownJob(Permanent):
    """There is no such job."""

    code = "unknown_job"


class UnknownLetter(Permanent):
    """There is no such dead letter."""

    code = "unknown_letter"


class NotRepeatable(Permanent):
    """The job cannot be done again in the state that it is in."""

    code = "not_repeatable"


class NotDecided(Permanent):
    """What was asked for is about a verdict, and the job has none."""

    code = "not_decided"


class NotConfirmed(Permanent):
    """What cannot be undone has to be confirmed by typing a name."""

    code = "not_confirmed"


# --- Typed non-answers: the analysis ran, and honestly has nothing to say -----------------------


class NotApplicable(Permanent):
    """The analysis does not apply to this recording."""

    code = "not_applicable"


class NoAudioTrack(NotApplicable):
    """The recording has no sound."""

    code = "no_audio_track"


class UndecodableAudio(NotApplicable):
    """No sound track could be decoded."""

    code = "undecodable_audio"


class NoSpeech(NotApplicable):
    """No speech was found in the sound."""

    code = "no_speech"


class TooLittleSpeech(NotApplicable):
    """There is too little speech for a statement about the voice."""

    code = "too_little_speech"


class NoVideoTrack(NotApplicable):
    """The recording has no moving picture."""

    code = "no_video_track"


class UndecodableVideo(NotApplicable):
    """No picture track could be decoded."""

    code = "undecodable_video"


class TooFewFrames(NotApplicable):
    """There are too few frames for a statement about the picture."""

    code = "too_few_frames"


class NoFace(NotApplicable):
    """No face was found in the picture."""

    code = "no_face"


class FaceTooSmall(NotApplicable):
    """Faces are too small in the picture for a statement."""

    code = "face_too_small"


class FaceTooBlurred(NotApplicable):
    """Faces are too blurred for a statement."""

    code = "face_too_blurred"


class ProfileOnly(NotApplicable):
    """Faces are only seen from the side."""

    code = "profile_only"


# --- Set-up: the installation, not the input, is the reason -------------------------------------


class SetupError(GuardianError):
    """The installation is incomplete."""

    code = "setup"


class ModelMissing(SetupError):
    """A model file named in the registry is missing."""

    code = "model_missing"


class ModelCorrupt(SetupError):
    """A model file does not have the digest that the registry names."""

    code = "model_corrupt"


class ToolMissing(SetupError):
    """ffmpeg, ffprobe and prlimit are needed; install the packages ffmpeg and util-linux."""

    code = "tool_missing"


class SandboxMissing(SetupError):
    """GUARDIAN_SANDBOX is require, and this kernel offers no Landlock, or no way to cut TCP."""

    code = "sandbox_missing"


class SettingsInvalid(SetupError):
    """The settings are not valid."""

    code = "settings_invalid"
