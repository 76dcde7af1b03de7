"""Ways to tamper with the sequence of frames of a clip, and ways to leave it alone."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

#: Frames a second of all clips.
FPS = 25
#: Span of a tampering without extent, to each side, in seconds.
POINT_S = 0.2
#: Frames of a clip: source (0 the own, 1 a foreign one, 2 another take, 3 faded) and index.
Order = list[tuple[int, int]]


@dataclass
class Plan:
    """What is done to one clip."""

    label: str
    kind: str
    order: Order
    start_s: float = 0.0
    end_s: float = 0.0
    drop: set[int] = field(default_factory=set)
    packet_filter: str | None = None
    first_pass: tuple[str, ...] = ()
    join: int | None = None
    trim_s: float | None = None
    shake: int | None = None
    #: Grey levels that are added to frames, and the share of lines, from the top, that they reach.
    light: dict[int, tuple[int, float]] = field(default_factory=dict)


Maker = Callable[[random.Random, int], Plan]


def own(start: int, stop: int) -> Order:
    """Return frames of the clip itself."""
    return [(0, index) for index in range(start, stop)]


def span(start: int, stop: int) -> tuple[float, float]:
    """Return the times of a run of frames."""
    return start / FPS, stop / FPS


def point(frame: int) -> tuple[float, float]:
    """Return the span of a tampering without extent."""
    return max(0.0, frame / FPS - POINT_S), frame / FPS + POINT_S


def pick(rng: random.Random, count: int, shortest: int, longest: int) -> tuple[int, int]:
    """Pick start and length of a run that leaves at least 12 frames at both ends."""
    longest = max(shortest, min(longest, (count - 24) // 2))
    length = rng.randint(shortest, longest)
    return rng.randint(12, max(12, count - 12 - length)), length


def duplicated_run(rng: random.Random, count: int) -> Plan:
    """Repeat a run of frames: at once, or later over other frames."""
    start, length = pick(rng, count, 10, 50)
    if rng.random() < 0.5 or start + 2 * length > count - 12:
        order = own(0, start + length) + own(start, count)
        return Plan("duplicated_run", "at once", order, *span(start + length, start + 2 * length))
    to = rng.randint(start + length, count - 12 - length)
    order = own(0, to) + own(start, start + length) + own(to + length, count)
    return Plan("duplicated_run", "over others", order, *span(to, to + length))


def frozen_run(rng: random.Random, count: int) -> Plan:
    """Hold one frame: time goes on behind it, or stands still."""
    start, length = pick(rng, count, 10, 50)
    held: Order = [(0, start)] * length
    if rng.random() < 0.5:
        order, kind = own(0, start) + held + own(start + 1, count), "inserted"
    else:
        order, kind = own(0, start) + held + own(start + length, count), "over others"
    return Plan("frozen_run", kind, order, *span(start, start + length))


def deleted_frames(rng: random.Random, count: int) -> Plan:
    """Take frames out."""
    start, length = pick(rng, count, 8, 60)
    order = own(0, start) + own(start + length, count)
    return Plan("deleted_frames", f"{length} frames", order, *point(start))


def inserted_segment(rng: random.Random, count: int) -> Plan:
    """Put in a segment of another recording."""
    start, length = pick(rng, count, 5, 50)
    foreign = [(1, index) for index in range(length)]
    order = own(0, start) + foreign + own(start, count)
    return Plan("inserted_segment", f"{length} frames", order, *span(start, start + length))


def reordered_run(rng: random.Random, count: int) -> Plan:
    """Swap two neighbouring runs, or play one backwards."""
    start, length = pick(rng, count, 16, 60)
    if rng.random() < 0.4:
        order = own(0, start) + own(start, start + length)[::-1] + own(start + length, count)
        return Plan("reordered_run", "reversed", order, *span(start, start + length))
    middle = start + rng.randint(length // 3, 2 * length // 3)
    stop = start + length
    order = own(0, start) + own(middle, stop) + own(start, middle) + own(stop, count)
    return Plan("reordered_run", "swapped", order, *span(start, stop))


def speed_change(rng: random.Random, count: int) -> Plan:
    """Play a part at another speed."""
    start, length = pick(rng, count, 30, 75)
    speed = rng.choice((0.5, 0.67, 1.5, 2.0))
    played = [(0, min(count - 1, int(start + k * speed))) for k in range(int(length / speed))]
    order = own(0, start) + played + own(start + length, count)
    return Plan("speed_change", f"x{speed}", order, *span(start, start + len(played)))


def splice(rng: random.Random, count: int) -> Plan:
    """Join two takes of the same shot, the second compressed harder before."""
    start, length = pick(rng, count, 12, 50)
    order = own(0, start) + [(2, index) for index in range(start + length, count)]
    return Plan("splice", "two takes", order, *point(start))


def double_compression(rng: random.Random, count: int) -> Plan:
    """Compress before with short groups of pictures, as cameras do."""
    group = rng.choice((12, 15, 25, 30))
    first = ("-crf", str(rng.randint(18, 30)), "-g", str(group), "-sc_threshold", "0", "-bf", "0")
    plan = Plan("double_compression", f"group of {group}", own(0, count), 0.0, count / FPS)
    plan.first_pass = first
    return plan


def gop_change(rng: random.Random, count: int) -> Plan:
    """Join two streams with other groups of pictures without decoding them."""
    start = count // 2 + rng.randint(-10, 10)
    return Plan("gop_change", "joined streams", own(0, count), *point(start), join=start)


def pts_gap(rng: random.Random, count: int) -> Plan:
    """Move all frames from one on to later times."""
    start, _ = pick(rng, count, 10, 20)
    gap_s = rng.uniform(0.6, 2.0)
    late = f"setts=ts=TS+gte(PTS*TB\\,{start / FPS - 0.001:.4f})*{gap_s:.4f}/TB"
    plan = Plan("pts_gap", f"{gap_s:.1f} s", own(0, count))
    plan.start_s, plan.end_s = (start - 1) / FPS, start / FPS + gap_s
    plan.packet_filter = late
    return plan


def edit_list(rng: random.Random, count: int) -> Plan:
    """Hide the beginning without taking it out of the file."""
    hidden_s = rng.uniform(0.6, min(1.9, count / FPS / 2))
    plan = Plan("edit_list", f"{hidden_s:.1f} s hidden", own(0, count), 0.0, 2 * POINT_S)
    plan.trim_s = hidden_s
    return plan


def untouched(_: random.Random, count: int) -> Plan:
    """Leave everything as it is."""
    return Plan("none", "constant rate", own(0, count))


def varying_rate(rng: random.Random, count: int) -> Plan:
    """Leave out frames with true times, as phones do."""
    plan = Plan("none", "varying rate", own(0, count))
    plan.drop = {index for index in range(1, count) if rng.random() < 0.12}
    return plan


def unsteady(rng: random.Random, count: int) -> Plan:
    """Hold the camera in an unsteady hand."""
    plan = Plan("none", "unsteady hand", own(0, count))
    plan.shake = rng.randrange(2**32)
    return plan


def phone(rng: random.Random, count: int) -> Plan:
    """Record as a phone does: an unsteady hand, frames left out alone and in short bursts."""
    plan = varying_rate(rng, count)
    plan.kind = "unsteady hand, varying rate"
    plan.shake = rng.randrange(2**32)
    for _ in range(count // 50):
        start = rng.randrange(1, count)
        plan.drop |= set(range(start, min(count, start + rng.randint(2, 4))))
    return plan


def encoder_skips(rng: random.Random, count: int) -> Plan:
    """Show a frame twice or three times in place of the next, as encoders under load do."""
    order = own(0, count)
    for index in range(2, count):
        if rng.random() < 0.03:
            order[index] = order[index - 1]
    return Plan("none", "encoder skips", order)


def pulled_down(_: random.Random, count: int) -> Plan:
    """Turn 24 frames a second into 30, every fourth shown twice, and 30 into 25 by leaving out."""
    order = [(0, min(count - 1, k * 4 // 5)) for k in range(count)]
    return Plan("none", "pull-down", order)


def cuts(rng: random.Random, count: int) -> Plan:
    """Cut between two recordings."""
    start = rng.randint(12, max(12, count - 12))
    order = own(0, start) + [(1, index) for index in range(start, count)]
    return Plan("none", "cut", order)


def cutaway(rng: random.Random, count: int) -> Plan:
    """Cut to another recording and back while time goes on."""
    start, length = pick(rng, count, 25, 50)
    order = own(0, start) + [(1, index) for index in range(length)]
    return Plan("none", "cut away and back", order + own(start + length, count))


def fade(_: random.Random, count: int) -> Plan:
    """Fade from black, cross over to another recording, fade to black."""
    return Plan("none", "fades", [(3, index) for index in range(count)])


def still(_: random.Random, count: int) -> Plan:
    """Show one picture all the time."""
    return Plan("none", "still picture", [(0, 0)] * count)


def flashes(rng: random.Random, count: int) -> Plan:
    """Light a few frames now and then, as cameras' flashes do: whole pictures, or some lines."""
    plan = Plan("none", "flashes", own(0, count))
    for start in range(rng.randint(5, 30), count - 5, 45):
        level, share = rng.choice((30, 60, 120)), rng.choice((1.0, 1.0, 0.5))
        plan.light |= dict.fromkeys(range(start, start + rng.randint(1, 3)), (level, share))
    return plan


TAMPERINGS: tuple[Maker, ...] = (
    duplicated_run,
    frozen_run,
    deleted_frames,
    inserted_segment,
    reordered_run,
    speed_change,
    splice,
    double_compression,
    gop_change,
    pts_gap,
    edit_list,
)
UNTOUCHED: tuple[Maker, ...] = (
    untouched,
    varying_rate,
    unsteady,
    phone,
    encoder_skips,
    pulled_down,
    cuts,
    cutaway,
    fade,
    still,
    flashes,
)
