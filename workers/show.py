"""What the commands print: rich tables on a terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Column, Table

from shared.letters import Letter, by_cause, cut
from shared.models import Registry
from shared.records import Job, Label, ModelRef, PartialResult, ShadowVerdict, Superseded
from shared.rows import JobSummary
from workers.aggregator import reasons
from workers.aggregator.wording import HEADLINES, NEXT_STEPS, percent
from workers.console.board import Overview
from workers.phrases import Language, Text, of_problem
from workers.terminal import plain

_COLOURS = {
    Label.LIKELY_AUTHENTIC: "green",
    Label.SUSPICIOUS: "yellow",
    Label.LIKELY_MANIPULATED: "red",
    Label.INCONCLUSIVE: "yellow",
    Label.NOT_APPLICABLE: "cyan",
    Label.FAILED: "red",
}
_WORDS: dict[str, Text] = {
    "verdict": {"en": "Verdict", "ko": "판정"},
    "next": {"en": "What to do:", "ko": "이렇게 하세요:"},
}
#: Lines that a narrow terminal breaks and a pipe keeps whole; what may be long comes last.
_JOB = "{:32}  {:8}  {:23}  {:11}  {}"
_MODEL = "{:14}  {:7}  {:6}  {:12}  {}"
_LETTER = "{:36}  {:19}  {:>8}  {:32}  {}"


def job(console: Console, item: Job, language: Language = "en") -> None:
    """Print one job: verdict, halves, reasons, next step; what people are told in a language."""
    _mark(console, f"[bold]Job {item.job_id}[/bold]  {item.status}  {plain(item.key)}")
    if item.error:
        told = of_problem(item.error.code, item.error.message, language)
        _mark(console, f"[red]{item.error.code}[/red]: {plain(told)}")
    analysis(console, item, language)


def analysis(console: Console, item: Job, language: Language = "en") -> None:
    """Print what was found: halves, reasons, next step."""
    for half in item.halves:
        _mark(console, f"  {half.modality}: {_half(half, language)}")
    if not item.verdict:
        return
    verdict, colour = item.verdict, _COLOURS[item.verdict.label]
    words = {name: text[language] for name, text in _WORDS.items()}
    headline = HEADLINES[verdict.label][language]
    lines = [f"[bold {colour}]{headline}[/]  ({verdict.label}{_sure(item)})"]
    lines += [f"• {plain(reasons.text(reason, language))}" for reason in verdict.reasons]
    lines += ["", f"[bold]{words['next']}[/bold] {NEXT_STEPS[verdict.label][language]}"]
    panel = Panel("\n".join(lines), title=words["verdict"], border_style=colour)
    console.print(panel, highlight=False)
    for line in (*_second_opinion(item.verdict.shadow), *_history(item)):
        console.print(f"  {line}", highlight=False, markup=False)


def _second_opinion(shadow: ShadowVerdict | None) -> Iterator[str]:
    """Say what the shadow models would have said; they decide nothing."""
    if shadow is not None:
        verb = "another label" if shadow.flip else "the same label"
        sure = _probability(shadow.probability)
        yield f"shadow models: {shadow.label}{sure}, {verb} ({_versions(shadow.models)})"


def _history(item: Job) -> Iterator[str]:
    """Say each earlier verdict, newest first, and what the one after it changed."""
    after = item.as_superseded()
    for earlier in reversed(item.superseded):
        sure, when = _probability(earlier.probability), f"{earlier.decided_at:%Y-%m-%d %H:%M:%S}"
        yield f"earlier, {when}: {earlier.label}{sure} ({_versions(earlier.models)})"
        if after is not None:
            yield f"  then {comparison(earlier, after)}"
        after = earlier


def comparison(earlier: Superseded, later: Superseded) -> str:
    """Say in words whether the label changed from one verdict to the next, and which models did."""
    same = earlier.label is later.label
    label = f"the label stayed {later.label}" if same else f"{earlier.label} became {later.label}"
    before = {ref.name: ref for ref in earlier.models}
    after = {ref.name: ref for ref in later.models}
    changed = [
        f"{name} {_version(before.get(name))} -> {_version(after.get(name))}"
        for name in {**before, **after}
        if before.get(name) != after.get(name)
    ]
    return f"{label}; " + (f"models: {', '.join(changed)}" if changed else "by the same models")


def _version(ref: ModelRef | None) -> str:
    """Name a version; the digest too, because the same version may come with another file."""
    return f"{ref.version} ({ref.sha256[:8]})" if ref else "none"


def _versions(models: Iterable[ModelRef]) -> str:
    return ", ".join(f"{ref.name} {ref.version}" for ref in models)


def _probability(probability: float | None) -> str:
    return "" if probability is None else f", probability {_of_1(probability)}"


def _of_1(probability: float) -> str:
    """Write a probability as the page does, never as 0 or 1: nothing is that sure."""
    return f"{percent(probability) / 100:.2f}"


def _sure(item: Job) -> str:
    verdict = item.verdict
    if verdict is None or verdict.probability is None:
        return ""
    text = _probability(verdict.probability)
    if verdict.interval:
        text += f" \\[{'-'.join(map(_of_1, verdict.interval))}]"
    return f"{text} at prior {verdict.prior:.2f}"


def _half(half: PartialResult, language: Language) -> str:
    if half.probability is None:
        told = of_problem(half.reason or "", half.message or "", language)
        return plain(f"{half.outcome} ({half.reason}: {told})")
    return f"{half.outcome}, probability {_of_1(half.probability)}, LLR {half.llr:+.2f}"


def jobs(console: Console, rows: Iterable[JobSummary]) -> None:
    """Print a job list, newest first."""
    _line(console, _JOB.format("job", "status", "verdict", "created UTC", "key"), "bold")
    for row in rows:
        verdict = row.label or (row.error.code if row.error else "")
        if row.probability is not None:
            verdict += f" {_of_1(row.probability)}"
        created = f"{row.created_at:%m-%d %H:%M}"
        _line(console, _JOB.format(row.job_id, row.status, verdict, created, row.key))


def _line(console: Console, text: str, style: str | None = None) -> None:
    _mark(console, plain(text), style)


def _mark(console: Console, markup: str, style: str | None = None) -> None:
    """Print a line that the terminal breaks, if need be, and a pipe keeps whole."""
    console.print(markup, style=style, soft_wrap=True, highlight=False)


def queues(overview: Overview) -> Group:
    """Make the table of the queues, with the figures of the console's page."""
    heads = ("waiting", "in work", "delayed", "dead", "oldest", "done/min", "backlog", "empty in")
    table = _table(
        Column("queue", no_wrap=True), *(Column(head, justify="right") for head in heads)
    )
    for row in overview.queues:
        rate = "–" if row.done_per_min is None else f"{row.done_per_min:g}"
        times = (_span(row.oldest_s), rate, _span(row.backlog_media_s), _span(row.eta_s))
        dead = f"[red]{row.dead}[/red]" if row.dead else "0"
        paused = "\n[yellow]paused[/yellow]" if row.paused else ""
        counts = (str(row.visible), str(row.in_flight), str(row.delayed), dead)
        table.add_row(row.queue + paused, *counts, *times)
    usual = _span(overview.mean_media_s)
    line = f"arriving {overview.arrivals_per_min:g}/min, usual length {usual}"
    workers = Counter(worker.role for worker in overview.workers)
    alive = ", ".join(f"{count} {role}" for role, count in sorted(workers.items())) or "none"
    probes = "".join(f", {one.clip} clip {one.outcome}" for one in overview.probes)
    return Group(table, f"{line}; workers alive: {alive}{probes}")


def _table(*columns: Column) -> Table:
    """Make a table with little frame, whose words are broken and not cut off."""
    for column in columns:
        column.overflow = "fold"
    return Table(*columns, box=SIMPLE_HEAD, show_edge=False, pad_edge=False, collapse_padding=True)


def _span(seconds: float | None) -> str:
    """Say a time in its largest unit."""
    if seconds is None:
        return "–"
    for unit, size in (("h", 3600.0), ("min", 60.0)):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"


def letters(console: Console, rows: Iterable[Letter]) -> None:
    """Print dead letters, oldest first, and how many there are of each cause."""
    rows = list(rows)
    _line(console, _LETTER.format("message", "sent (UTC)", "receives", "job", "cause"), "bold")
    for row in rows:
        sent, cause = f"{row.sent_at:%Y-%m-%d %H:%M:%S}", f"{row.code}: {row.cause}"
        line = _LETTER.format(row.message_id, sent, row.receives, row.job_id or "", cause)
        _line(console, line)
    for code, count in by_cause(rows).items():
        console.print(f"{count:>5}  {plain(code)}")
    if cut(rows):
        console.print(f"Only {len(rows)} are listed; there may be more.", highlight=False)


def models(console: Console, registry: Registry) -> None:
    """Print the models of a registry."""
    _line(console, _MODEL.format("model", "version", "half", "sha256", "licence"), "bold")
    for entry in registry.entries.values():
        what = (entry.name, entry.version, entry.modality, entry.sha256[:12], entry.licence)
        _line(console, _MODEL.format(*what))
        if entry.measured:
            measured = ", ".join(f"{name} {value}" for name, value in entry.measured.items())
            padded = Padding(f"[dim]{plain(measured)}[/dim]", (0, 0, 0, 4), expand=False)
            console.print(padded, highlight=False)
