"""The command that sends a build away: `publish`.

Belongs here: arguments and sentences. Does not belong here: the upload (``hub_dataset``), or making a
build, which every run does by itself (``assets.publish``).
"""

from __future__ import annotations

import sys

import click

from atom_dagster.commands.face import (
    DONE,
    REFUSED,
    SOURCE_FAILED,
    USAGE,
    CliError,
    out,
    say_world,
    world_options,
)
from atom_dagster.settings import Settings


@click.command()
@click.option("--to-hub", "repo", required=True, metavar="ORG/NAME", help="The dataset, made if need be.")
@click.option("--private", "is_private", is_flag=True, help="Make the dataset for its owners only.")
@click.option(
    "--synthetic", "takes_synthetic", is_flag=True, help="Send simulated numbers too, marked as such."
)
@click.option(
    "--unstated-licences",
    "takes_unlicensed",
    is_flag=True,
    help="Send rows of sources that state no licence too: their owners have allowed it.",
)
@world_options
def publish(
    settings: Settings,
    debug: bool,
    repo: str,
    is_private: bool,
    takes_synthetic: bool,
    takes_unlicensed: bool,
) -> None:
    """Make a Hugging Face dataset hold the published build: tables, report, docs, by one commit.

    HF_TOKEN must be one that may write. The same build again changes nothing; files that an earlier build
    had and this one has not are deleted there; files of anybody else stay. HF_ENDPOINT names another Hub.
    """
    from huggingface_hub.utils import disable_progress_bars  # type: ignore[attr-defined]

    from atom_dagster import hub_dataset

    say_world(settings)
    if not sys.stderr.isatty():
        disable_progress_bars()
    try:
        done = hub_dataset.upload(
            settings,
            repo,
            is_private=is_private,
            takes_synthetic=takes_synthetic,
            takes_unlicensed=takes_unlicensed,
        )
    except (hub_dataset.Refused, hub_dataset.Damaged, hub_dataset.Failed) as error:
        if debug:
            raise
        code = {hub_dataset.Refused: USAGE, hub_dataset.Damaged: REFUSED, hub_dataset.Failed: SOURCE_FAILED}
        raise CliError(str(error), code[type(error)]) from error
    if done.commit is None:
        out.print(f"Nothing new: {done.url} holds build {done.build_id} already", soft_wrap=True)
    else:
        gone = f", {done.deleted} deleted" if done.deleted else ""
        out.print(f"Sent build {done.build_id} to {done.url}", soft_wrap=True)
        out.print(f"  {done.added} files ({done.size / 1e6:.0f} MB){gone}; commit {done.commit[:12]}")
    if done.kept:
        out.print(f"  {done.kept} files there are of no build, and stay")
    sys.exit(DONE)
