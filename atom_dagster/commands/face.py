"""What every command shares: options, exit codes, sentences for people, bars, the published file.

Belongs here: what two commands need. Does not belong here: a command.
"""

from __future__ import annotations

import contextlib
import functools
import os
import select
import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from atom_dagster.settings import Settings, SettingsError

DONE, REFUSED, USAGE, SOURCE_FAILED = 0, 1, 2, 3
BUG, INTERRUPTED, UNREAD = 70, 130, 141
"""What should not happen (as in sysexits.h), Ctrl-C, and a reader such as `head` that has left (as a shell
says it): none of the contract's codes may lie."""


class Terminal(Console):
    """Where a command prints; it ends without a word when nobody reads any more."""

    def on_broken_pipe(self) -> None:
        """What Python flushes at its end goes nowhere, or it would complain."""
        self.quiet = True
        os.dup2(os.open(os.devnull, os.O_WRONLY), self.file.fileno())
        sys.exit(UNREAD)


err = Terminal(stderr=True, highlight=False)
out = Terminal(highlight=False)

F = TypeVar("F", bound=Callable[..., Any])


class CliError(click.ClickException):
    """One sentence on stderr and an exit code."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.exit_code = code  # type: ignore[misc]

    def show(self, file: Any = None) -> None:
        """Print the sentence."""
        click.echo(f"atom: {self.message}", file=file or sys.stderr)


def world_options(command: F) -> F:
    """`--world`, `--home`, `--seed` and `--debug`, written to the environment that settings read."""

    @click.option("--world", help="sample (default), live, or recorded:DIR.")
    @click.option("--home", type=click.Path(path_type=Path), help="Where this world's data lives.")
    @click.option("--seed", type=int, help="Another story of the sample world.")
    @click.option("--debug", is_flag=True, help="Show tracebacks and Dagster's log.")
    @functools.wraps(command)
    def wrapped(
        *args: Any,
        world: str | None,
        home: Path | None,
        seed: int | None,
        debug: bool,
        **kwargs: Any,
    ) -> Any:
        for name, value in (("ATOM_WORLD", world), ("ATOM_HOME", home), ("ATOM_SEED", seed)):
            if value is not None:
                os.environ[name] = str(value)
        try:
            settings = Settings.from_env()
            # Subprocesses must see the same home wherever they start.
            os.environ["ATOM_HOME"], os.environ["ATOM_WORLD"] = str(settings.home), settings.world
            return command(*args, settings=settings, debug=debug, **kwargs)
        except SettingsError as error:
            raise CliError(str(error), USAGE) from error
        except KeyboardInterrupt as error:
            said = "Interrupted; what was committed stays. Run again to go on."
            raise CliError(said, INTERRUPTED) from error
        except (CliError, click.ClickException, click.exceptions.Exit):
            raise
        except Exception as error:
            if isinstance(error, BrokenPipeError) and _nobody_reads():
                out.on_broken_pipe()
            if debug:
                raise
            if isinstance(error, PermissionError) and error.filename is not None:
                said = f"This user has no right to {error.filename}; give it that right, or name another home"
                raise CliError(f"{said} with --home.", USAGE) from error
            first = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
            raise CliError(f"{first} (--debug shows where)", BUG) from error

    return wrapped  # type: ignore[return-value]


def _nobody_reads() -> bool:
    """Whether stdout is the pipe that broke: a connection to a service may break too."""
    stdout = select.poll()
    stdout.register(sys.stdout.fileno(), 0)
    return any(event & select.POLLERR for _, event in stdout.poll(0))


def accept_shrink(command: F) -> F:
    """`--accept-shrink`, written to the environment that settings read."""

    @click.option(
        "--accept-shrink",
        "shrinks",
        multiple=True,
        type=click.DateTime(["%Y-%m-%d"]),
        metavar="YYYY-MM-DD",
        help="Record the archive's snapshot of this day although it holds less than half of the one before.",
    )
    @functools.wraps(command)
    def wrapped(*args: Any, shrinks: Sequence[datetime], **kwargs: Any) -> Any:
        if shrinks:
            os.environ["ATOM_ACCEPT_SHRINK"] = ",".join(day.date().isoformat() for day in shrinks)
        return command(*args, **kwargs)

    return wrapped  # type: ignore[return-value]


def say(sentence: str) -> None:
    """A line on stderr as it stands: names in it are no markup, and it is not wrapped."""
    click.echo(sentence, err=True)


def say_waiting(who: str) -> None:
    """Say for whom the command waits."""
    say(f"atom: waiting for {who} …")


def say_world(settings: Settings) -> None:
    """Say which world the command works on, and that the sample world is synthetic."""
    what = {
        "sample": f"sample world (seed {settings.seed}): every number is synthetic",
        "live": "live world: the real services",
        "recorded": f"recorded world: answers kept in {settings.world.partition(':')[2]}",
    }[settings.kind]
    err.print(f"[bold]atom[/] · {what}")


def violations(connection: Any) -> list[str]:
    """The rules the build violates that do not block it, such as freshness."""
    rows = connection.execute(
        "select table_name, rule, description from meta.checks where not passed order by all"
    ).fetchall()
    return [f"{table}.{rule} is violated: {text}." for table, rule, text in rows]


def short(path: Path) -> str:
    """`path` as seen from here, whole when it lies elsewhere."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


@contextlib.contextmanager
def progress_bars(debug: bool) -> Iterator[Callable[[str, int, int | None], None]]:
    """Bars on a terminal, a line per stage elsewhere; nothing when Dagster's log is shown."""
    if debug:
        yield lambda _what, _done, _total: None
        return
    if not err.is_terminal:
        said: set[str] = set()

        def line(what: str, done: int, total: int | None) -> None:
            if total is not None and done >= total and what not in said:
                said.add(what)
                err.print(f"  {what}: {total}")

        yield line
        return
    with Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total}"),
        TimeElapsedColumn(),
        console=err,
    ) as bars:
        tasks: dict[str, Any] = {}

        def report(what: str, done: int, total: int | None) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=total)
            bars.update(tasks[what], completed=done, total=total)

        yield report


@contextlib.contextmanager
def open_published(settings: Settings) -> Iterator[Any]:
    """A read-only connection to the published file; raises CliError when nothing is published."""
    import duckdb

    path = (settings.home / "published" / "atom.duckdb").resolve()
    if not path.exists():
        raise CliError(f"Nothing is published under {short(settings.home)} yet; run `atom run` first.", USAGE)
    connection = duckdb.connect(str(path), read_only=True)
    try:
        yield connection
    finally:
        connection.close()
