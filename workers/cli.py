"""The `guardian` command: the composition root that every process starts from."""

from __future__ import annotations

import io
import itertools
import sys
from typing import Any

import click

from shared.errors import GuardianError
from workers import phrases, terminal
from workers.commands import evaluate, files, jobs, models, operating, plan, processes
from workers.commands.basics import NOTES
from workers.commands.options import LANGUAGE

_SECTIONS = {
    "Try it here": (processes.demo, processes.local, files.analyze, files.verify),
    "Use an installation": (jobs.submit_command, jobs.jobs, jobs.feedback_summary),
    "Operate it": (
        *(operating.queues, operating.pause, operating.resume, operating.dlq, operating.probe),
        *(operating.provision, plan.plan_command),
    ),
    "Run a process of it": (processes.worker, processes.serve, processes.console),
    "Know the detectors": (models.models, evaluate.evaluate_command),
}


class _Group(click.Group):
    """A group with sections, whose errors are one sentence, or one JSON document with --json."""

    def main(self, *args: Any, **options: Any) -> Any:
        """Run; what the terminal's encoding lacks is replaced and ends no command."""
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="replace")
        return super().main(*args, **options)

    def format_commands(self, _: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands by what they are for."""
        for title, commands in _SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl(
                    [(str(one.name), one.get_short_help_str(200)) for one in commands]
                )

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except GuardianError as error:
            if "--json" in sys.argv:
                _tell(error.code, error.message)
            else:
                text = _told(error, context.meta.get(LANGUAGE, "en"))
                NOTES.print(f"[red]{error.code}[/red]: {terminal.plain(text)}", soft_wrap=True)
            context.exit(1)
        except click.UsageError as error:
            if "--json" not in sys.argv:
                raise
            _tell("usage", error.format_message())
            context.exit(error.exit_code)


def _told(error: GuardianError, language: phrases.Language) -> str:
    """Return what an error says; what only its English message tells stands behind the words."""
    words = phrases.of_problem(error.code, error.message, language)
    alone = error.message in (words, type(error)().message)
    return words if alone else f"{words} ({error.message})"


def _tell(code: str, message: str) -> None:
    """Print an error as the JSON document that ends standard error."""
    document = {"error": {"code": code, "message": message}}
    click.echo(terminal.document(document), err=True)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="silver-guardian")
def main() -> None:
    """Find synthetic voices and manipulated pictures in uploaded recordings."""
    import structlog  # noqa: PLC0415  # slow to import

    # standard output is the answer's; processes set up their logs themselves
    structlog.reset_defaults()
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))


for _command in itertools.chain(*_SECTIONS.values()):
    main.add_command(_command)

if __name__ == "__main__":
    main()
