"""`atom baselines`: what the next RAM baseline would be.

Belongs here: arguments, tables and sentences. Does not belong here: how a proposal is computed
(``atom_dagster.baselines``).
"""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any

import click

from atom_dagster.commands.face import (
    USAGE,
    CliError,
    out,
    say,
    say_waiting,
    say_world,
    short,
    world_options,
)
from atom_dagster.commands.tables import FORMS, write_rows
from atom_dagster.settings import Settings

if TYPE_CHECKING:
    from atom_dagster.baselines import Proposal, Rows

PARTS = ("row", "baselines", "scores")
SHOWN_SCORES = 20
"""How many scores a table shows unless --limit says otherwise; CSV and JSON have them all."""


@click.group()
def baselines() -> None:
    """RAM's baselines: what the next one would be."""


@baselines.command()
@click.option("--quarter", metavar="YYYY-QN", help="By default the one after the newest frozen baseline's.")
@click.option("--rule", type=click.Choice(["nth", "median_of_top"]), default="nth", show_default=True)
@click.option(
    "--n", type=click.IntRange(min=1), default=10, show_default=True, help="Models the rule looks at."
)
@click.option("--show", type=click.Choice(PARTS), help="Only this part; a CSV holds one.")
@click.option("--limit", type=click.IntRange(min=1), help=f"Scores shown; a table shows {SHOWN_SCORES}.")
@click.option("--format", "form", type=click.Choice(FORMS), default="table", show_default=True)
@world_options
def propose(
    settings: Settings,
    debug: bool,
    quarter: str | None,
    rule: str,
    n: int,
    show: str | None,
    limit: int | None,
    form: str,
) -> None:
    """Print the seed's row for a quarter, and what it would change; the seed is not edited.

    The baselines and scores are computed by the dbt project itself, in a scratch warehouse whose seed holds
    the row: adding it gives the same numbers at the next `atom run`.
    """
    from atom_dagster.baselines import SEED, ProposalError, Quarter
    from atom_dagster.baselines import propose as work_out

    del debug
    if form == "csv" and not show:
        raise CliError(f"A CSV holds one table; add --show {', '.join(PARTS[:-1])} or {PARTS[-1]}.", USAGE)
    say_world(settings)
    try:
        proposal = work_out(
            settings,
            quarter=Quarter.parse(quarter) if quarter else None,
            rule=rule,
            n=n,
            on_wait=say_waiting,
        )
    except ProposalError as error:
        raise CliError(str(error), USAGE) from error
    for line in _remarks(proposal):
        say(line)
    if limit is None and form == "table":
        limit = SHOWN_SCORES
    parts = _parts(proposal, limit)
    if form == "json" and not show:
        click.echo(json.dumps(_as_json(proposal, parts), default=str, indent=2))
    else:
        for part in PARTS:
            if show not in (None, part):
                continue
            if form == "table" and part == "row":
                out.print(proposal.row.as_csv(), soft_wrap=True)
            else:
                write_rows(
                    parts[part].names, _for_people(parts[part]) if form == "table" else parts[part].rows, form
                )
            if form == "table" and not show:
                click.echo()
    hidden = len(proposal.scores.rows) - len(parts["scores"].rows)
    if hidden and show in (None, "scores"):
        say(f"… and {hidden:,} more scores (--limit).")
    say(f"Nothing was changed; add the row to {short(SEED)} and run `atom run` to have it.")
    if settings.kind == "sample":
        say("(synthetic: propose from the world whose readings the baseline is for)")


def _parts(proposal: Proposal, limit: int | None) -> dict[str, Rows]:
    from atom_dagster.baselines import Rows

    row = dataclasses.asdict(proposal.row)
    row["is_frozen"] = str(row["is_frozen"]).lower()
    return {
        "row": Rows(list(row), [tuple(row.values())]),
        "baselines": proposal.baselines,
        "scores": Rows(proposal.scores.names, proposal.scores.rows[:limit]),
    }


def _for_people(part: Rows) -> list[tuple[Any, ...]]:
    """Downloads whole, ratios and scores to the second digit."""

    def shown(name: str, value: Any) -> Any:
        if not isinstance(value, float):
            return value
        return round(value) if name.startswith("downloads") else f"{value:.2f}"

    return [
        tuple(shown(name, value) for name, value in zip(part.names, row, strict=True)) for row in part.rows
    ]


def _as_json(proposal: Proposal, parts: dict[str, Rows]) -> dict[str, Any]:
    from atom_dagster.baselines import SEED

    return {
        "row": dataclasses.asdict(proposal.row),
        "seed": str(SEED),
        "quarter": str(proposal.quarter),
        "is_over": proposal.is_over,
        "as_of": proposal.as_of,
        "compared_with": proposal.compared_with and proposal.compared_with.baseline,
        "baselines": parts["baselines"].as_dicts(),
        "scores": parts["scores"].as_dicts(),
    }


def _remarks(proposal: Proposal) -> list[str]:
    """What somebody must know who reads the tables."""
    row, present = proposal.row, proposal.compared_with
    lines = [
        f"{row.baseline}: readings up to {row.snapshot_on}, the last of {proposal.quarter} that is held."
    ]
    if not proposal.is_over:
        lines.append(f"{proposal.quarter} is not over: propose again when it is, for its last reading.")
    if proposal.as_of:
        lines.append(f"The marts stand as of {proposal.as_of}; `atom run` brings the present.")
    lacking = sum(one["null_reason"] is not None for one in proposal.baselines.as_dicts())
    if lacking:
        lines.append(
            f"{lacking} of {len(proposal.baselines.rows)} sizes and days would have no baseline:"
            " too few models are measured on them."
        )
    if present is None:
        lines.append("The seed has no frozen baseline to compare it with.")
        return lines
    lines.append(f"Compared with {present.baseline} ({present.rule}, n {present.n}, {present.snapshot_on}).")
    if (present.rule, present.n) != (row.rule, row.n):
        lines.append("That is another rule: a score of 1 means something else under each.")
    changes = [change for *_, change in proposal.scores.rows]
    lines.append(
        f"{changes.count('up'):,} scores rise to 1 or more, {changes.count('down'):,} fall below it,"
        f" {changes.count('moved'):,} move on their side of it,"
        f" {changes.count('new'):,} are new, {changes.count('lost'):,} are lost."
    )
    return lines
