"""The dataset card: ``README.md`` of a build, as the Hugging Face Hub reads one.

Belongs here: words for people, and the front matter that tells the Hub which file is which table. Does
not belong here: what a build holds (``contents``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from atom_dagster.exports.contents import Contents

HEADLINE = "downloads_by_region_monthly"
"""The table the Hub shows first."""
REPORT = "https://arxiv.org/abs/2604.07190"
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
_LARGER = ((10_000_000, "1M<n<10M"), (100_000_000, "10M<n<100M"), (1_000_000_000, "100M<n<1B"))


def card(folder: Path, contents: Contents, files: Mapping[str, Path]) -> str:
    """The card's text.

    Args:
        folder: The build; a report and docs in it are linked.
        contents: What it holds.
        files: Each table's CSV file.
    """
    front = yaml.safe_dump(_front_matter(contents), sort_keys=False, allow_unicode=True, width=1000)
    return f"---\n{front}---\n\n" + "\n\n".join(_sections(folder, contents, files)) + "\n"


def _front_matter(contents: Contents) -> dict[str, Any]:
    terms: dict[str, Any] = {"license": "apache-2.0"}
    if not contents.is_synthetic:
        terms = {"license": "other", "license_name": "as-its-sources", "license_link": "LICENSE.md"}
    rows = sum(table.rows for table in contents.tables)
    size = next((name for most, name in (*_SIZES, *_LARGER) if rows < most), "n>1T")
    return {
        "pretty_name": contents.title,
        **terms,
        "tags": [
            *(["synthetic"] if contents.is_synthetic else []),
            "open-language-models",
            "hugging-face-hub",
            "downloads",
            "openrouter",
            "time-series",
        ],
        "size_categories": [size],
        "configs": [
            {
                "config_name": table.name,
                "data_files": f"parquet/{table.name}.parquet",
                **({"default": True} if table.name == HEADLINE else {}),
            }
            for table in contents.tables
        ],
    }


def _sections(folder: Path, contents: Contents, files: Mapping[str, Path]) -> Iterator[str]:
    build = contents.build
    yield f"# {contents.title}"
    if contents.is_synthetic:
        yield (
            "> **Synthetic.** Every number here is simulated and none was measured. Agreement with published"
            " figures proves the machinery, not the figures. Do not cite them as measurements."
        )
    if contents.caveat:
        yield f"> {contents.caveat}"
    yield (
        "Who builds the open language models people use, and how fast that changes: downloads on the Hugging"
        " Face Hub, models derived from other models, and tokens on OpenRouter, by organization, country,"
        " region, size and family, with the Relative Adoption Metric (RAM). The measures are those of the"
        f" [ATOM Report]({REPORT}), computed anew from public sources."
    )
    as_of = f", as of {build['as_of']}: nothing fetched later is in it" if build["as_of"] else ""
    yield (
        f"Build `{build['build_id']}`, published {build['built_at']}{as_of}. `SHA256SUMS` lists every file."
    )
    yield "## Files\n\n" + "\n".join(_files(folder))
    yield (
        "In DuckDB, with this dataset's name on the Hub, or a folder for all before `parquet/`:\n\n"
        f"```sql\nfrom 'hf://datasets/ORG/NAME/parquet/{HEADLINE}.parquet' order by month, rank;\n```"
    )
    yield (
        "## Tables\n\n"
        "`month` is the first day of the UTC month. Shares are 0–1. A value that could not be measured is"
        " missing, with its reason beside it; it is never 0 and never a guess. Every column's meaning and"
        " unit stands in `datapackage.json` and as a comment in `atom.duckdb`.\n\n"
        "| table | rows | what it holds | CSV |\n|---|---:|---|---|\n"
        + "\n".join(
            f"| `{table.name}` | {table.rows:,} | {_cell(table.description)}"
            f" | [{files[table.name].name}]({files[table.name].relative_to(folder)}) |"
            for table in contents.tables
        )
    )
    yield "## Cite\n\n" + _citation(contents)
    yield "## Sources\n\n" + "\n".join(_sources(contents))
    yield "## Licence\n\n" + _terms(contents)


def _files(folder: Path) -> Iterator[str]:
    if (folder / "report" / "index.html").exists():
        yield "* [`report/index.html`](report/index.html): the figures, each with its table and its SQL"
    yield "* `atom.duckdb`: all tables with keys and comments, for DuckDB 1.5 or newer"
    yield "* `parquet/<table>.parquet` and `csv/<table>.csv` (`.csv.zst` if no spreadsheet can hold it)"
    yield "* `datapackage.json`: the data dictionary (Data Package 2.0)"
    if (folder / "docs" / "index.html").exists():
        yield "* [`docs/index.html`](docs/index.html): how each table is made, with its SQL and its lineage"


def _citation(contents: Contents) -> str:
    build = contents.build
    kind = " Synthetic data." if contents.is_synthetic else ""
    return (
        "Give the build, the table and the month:\n\n"
        f"> ATOM on Dagster {build['atom_version']}, {build['world']} world, build {build['build_id']}"
        f" ({str(build['built_at'])[:10]}), table …, month ….{kind}\n\n"
        f"For the definitions of the measures: Lambert & Brand, *The ATOM Report*, {REPORT}."
    )


def _sources(contents: Contents) -> Iterator[str]:
    if contents.attribution:
        yield f"{contents.attribution} (CC BY 4.0)\n"
    if contents.is_synthetic:
        yield "All simulated; nothing was asked of the services whose names they bear.\n"
    yield "| source | what | last day held | newest answer as of (UTC) | pulls |\n|---|---|---|---|---:|"
    for source in contents.sources:
        origin = source.origin
        what = origin.title if contents.is_synthetic else origin.link
        last = source.last_day.isoformat() if source.last_day else "–"
        yield f"| `{source.name}` | {what} | {last} | {source.as_of:%Y-%m-%d %H:%M} | {source.pulls} |"


def _terms(contents: Contents) -> str:
    if contents.is_synthetic:
        return "Apache-2.0, as the project that simulates them."
    return "The data keeps its sources' licences: see [LICENSE.md](LICENSE.md)."


def licence_text(contents: Contents) -> str:
    """``LICENSE.md``: under which terms each source's rows stand."""
    lines = [
        "# Licence",
        "",
        "The data keeps its sources' licences. The code that computes it is Apache-2.0.",
        "",
        "| source | what | licence |",
        "|---|---|---|",
    ]
    for source in contents.sources:
        terms = source.origin.licence
        what = f"[{terms.title}]({terms.path})" if terms.path else terms.title
        lines.append(f"| `{source.name}` | {source.origin.link} | {what} |")
    if contents.attribution:
        lines += [
            "",
            "Tokens may not be served again as an API that competes with their source. They are cited so:",
            "",
            f"> {contents.attribution}",
        ]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", r"\|")
