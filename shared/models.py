"""The model registry: a manifest of hashed files, and explicit ONNX Runtime sessions."""

from __future__ import annotations

import hashlib
import os
import tomllib
from dataclasses import dataclass, field, fields
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeVar

from shared.cores import cores
from shared.errors import ModelCorrupt, ModelMissing, SetupError
from shared.records import ModelRef
from shared.shapes import Shaped
from shared.side_by_side import SideBySide

#: The models that come with the package.
PACKAGED = Path(__file__).with_name("models")
MANIFEST = "models.toml"

Device = Literal["auto", "cuda", "cpu"]
Numbers = TypeVar("Numbers")


@dataclass(frozen=True)
class ModelEntry:
    """One table of models.toml.

    Attributes:
        name: Key of the table.
        version: Version of the weights.
        file: File name beside the manifest.
        sha256: Digest of that file, hex.
        modality: `audio`, `video` or `fusion`.
        input: Shape, layout and units of the input, in words.
        licence: Licence of the weights.
        origin: Where architecture and weights come from.
        training_data: What it was trained on, in words, with licences.
        params: Numbers that belong to the weights: calibration, thresholds, normalisation.
        measured: Error rates, each measured by a command named in the card.
    """

    name: str
    version: str
    file: str
    sha256: str
    modality: str
    input: str
    licence: str
    origin: str
    training_data: str
    params: dict[str, Any] = field(default_factory=dict)
    measured: dict[str, Any] = field(default_factory=dict)

    @property
    def ref(self) -> ModelRef:
        """The name, version and digest that results carry."""
        return ModelRef(name=self.name, version=self.version, sha256=self.sha256)


CUDA = "CUDAExecutionProvider"
#: By default every algorithm of every convolution is tried whenever a picture has a new size or a
#: batch a new number of rows, and TF32 rounds to 10 bits, so that scores differ from those of a CPU
#: (ONNX Runtime, CUDA Execution Provider). See docs/performance.md for what the first costs. Memory
#: grows by what is needed, not to the next power of two: a network has several sessions.
CUDA_OPTIONS = {
    "cudnn_conv_algo_search": "HEURISTIC",
    "use_tf32": "0",
    "arena_extend_strategy": "kSameAsRequested",
}


def may_use_gpu(device: Device) -> bool:
    """Return whether sessions try the GPU first: it was not ruled out, and this build has CUDA."""
    import onnxruntime as ort  # noqa: PLC0415  # importing this module must stay cheap

    return device != "cpu" and CUDA in ort.get_available_providers()


def on_gpu(session: Any) -> bool:
    """Return whether an `InferenceSession` really runs on a GPU."""
    return bool(session.get_providers()[0] == CUDA)


def numbers(kind: type[Numbers], params: dict[str, Any], what: str) -> Numbers:
    """Fill a dataclass of floats from a model's parameters.

    Raises:
        SetupError: One is missing or no number; `what` names the model in the message.
    """
    names = [item.name for item in fields(kind)]  # type: ignore[arg-type]  # a dataclass
    try:
        return kind(**{name: float(params[name]) for name in names})
    except (KeyError, TypeError, ValueError) as error:
        raise SetupError(f"The calibration of {what} lacks {error}.") from error


class Registry:
    """The models of one directory; every load checks the digest first.

    Attributes:
        directory: Where they lie.
        own: Names of the models that lie there.
        entries: These and the ones behind them, by name.
    """

    def __init__(
        self,
        directory: Path | None = None,
        *,
        device: Device = "auto",
        threads: int = 0,
        behind: Registry | None = None,
    ) -> None:
        """Read the manifest.

        Args:
            directory: Where models.toml and the files lie; None for the packaged ones.
            device: Where sessions run; `auto` takes CUDA where it works, else the CPU.
            threads: Threads inside one operator; 0 is all cores of the pod.
            behind: Where the models come from that this directory has not.

        Raises:
            ModelMissing: There is no manifest.
            SetupError: The manifest cannot be read.
        """
        self.directory = directory or PACKAGED
        self._device = device
        self._threads = threads
        manifest = self.directory / MANIFEST
        try:
            tables = tomllib.loads(manifest.read_text())
        except FileNotFoundError as error:
            raise ModelMissing(f"There is no model manifest at {manifest}.") from error
        except tomllib.TOMLDecodeError as error:
            raise SetupError(f"The model manifest {manifest} cannot be read: {error}.") from error
        try:
            own = {name: ModelEntry(name=name, **row) for name, row in tables.items()}
        except TypeError as error:
            raise SetupError(
                f"The model manifest {manifest} has a wrong table: {error}."
            ) from error
        self._behind = behind
        self.own = frozenset(own)
        self.entries: dict[str, ModelEntry] = {**(behind.entries if behind else {}), **own}

    def entry(self, name: str) -> ModelEntry:
        """Return one entry.

        Raises:
            ModelMissing: The manifest has no such model.
        """
        try:
            return self.entries[name]
        except KeyError:
            known = ", ".join(sorted(self.entries))
            raise ModelMissing(f"There is no model {name!r} in the registry ({known}).") from None

    def verify(self, name: str) -> bytes:
        """Read a model file and check its digest.

        Raises:
            ModelMissing: The file is not there.
            ModelCorrupt: Its SHA-256 is not the one in the manifest.
        """
        entry = self.entry(name)
        if self._behind is not None and name not in self.own:
            return self._behind.verify(name)
        path = self.directory / entry.file
        try:
            content = path.read_bytes()
        except FileNotFoundError as error:
            raise ModelMissing(f"The model file {path} of {name!r} is missing.") from error
        digest = hashlib.sha256(content).hexdigest()
        if digest != entry.sha256:
            raise ModelCorrupt(
                f"The model file {path} has SHA-256 {digest[:12]}…, the registry says "
                f"{entry.sha256[:12]}…; install the package again."
            )
        return content

    def session(self, name: str, *, threads: int | None = None) -> Any:
        """Open an `onnxruntime.InferenceSession` on verified bytes; on a GPU, one for each shape.

        Sequential execution, all graph optimisations, no spinning threads (they steal time from
        the decoder), deterministic kernels. With CUDA the provider is asserted, because ONNX
        Runtime silently falls back to the CPU.

        Raises:
            ModelMissing: The file is not there.
            ModelCorrupt: Its digest is wrong.
            SetupError: CUDA was asked for and does not work here.
        """
        # The wheels for Linux (1.32) report to their maker over the network unless told not to.
        os.environ["ORT_DISABLE_TELEMETRY"] = "1"
        import onnxruntime as ort  # noqa: PLC0415  # importing this module must stay cheap

        content = self.verify(name)
        options = ort.SessionOptions()
        options.intra_op_num_threads = (self._threads if threads is None else threads) or cores()
        options.inter_op_num_threads = 1
        options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.use_deterministic_compute = True
        options.log_severity_level = 3
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        providers: list[str | tuple[str, dict[str, str]]] = ["CPUExecutionProvider"]
        if may_use_gpu(self._device):
            providers.insert(0, (CUDA, CUDA_OPTIONS))
        another = partial(ort.InferenceSession, content, sess_options=options, providers=providers)
        session = another()
        if on_gpu(session):
            return Shaped(session, another)
        if self._device == "cuda":
            raise SetupError("CUDA was asked for, but ONNX Runtime could not use it here.")
        return session

    def scorer(self, name: str) -> Any:
        """Open a network whose rows are independent; on a CPU they are run side by side.

        Raises:
            ModelMissing: The file is not there.
            ModelCorrupt: Its digest is wrong.
            SetupError: CUDA was asked for and does not work here.
        """
        session = self.session(name, threads=1)
        return session if on_gpu(session) else SideBySide(session, self._threads or cores())

    @property
    def digest(self) -> str:
        """Digest of the whole model set, 16 hex digits; part of every cache key.

        Versions and parameters count: a calibration changes scores without changing a file.
        """
        lines = sorted(
            f"{entry.name} {entry.version} {entry.sha256} {sorted(entry.params.items())}"
            for entry in self.entries.values()
        )
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]
