"""The page: facts and rows from a published file, charts as Vega-Lite, one template around them.

Belongs here: what the page embeds and in which form. Does not belong here: a figure, or a mark.
"""

from __future__ import annotations

import base64
import hashlib
import json
import textwrap
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from functools import cache
from pathlib import Path
from typing import Any

import duckdb
import vl_convert
from altair.utils.schemapi import debug_mode
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from atom_dagster.exports import contents
from atom_dagster.quoting import script_json
from atom_dagster.report import charts, marks, palette
from atom_dagster.report.figure import Drawing, Facts, Figure, Row, Styler
from atom_dagster.report.figures import OURS, THE_REPORTS

HERE = Path(__file__).parent
# The project's defaults of the switches that decide which models are counted (dbt_project.yml).
_SETS = {
    "core": "the registry's charted list (core)",
    "core_extra": "both lists of the registry (core and extra)",
    "all": "every model ever read",
}


def of(database: Path) -> tuple[str, int, dict[str, str], dict[str, str]]:
    """The page of a published file, the number of figures drawn, why each other one is empty, and faults."""
    faults: dict[str, str] = {}
    connection = duckdb.connect(str(database), read_only=True)
    try:
        facts = facts_of(connection)
        styles = palette.of(connection).styles
        sections = [
            (heading, lead, [contained(connection, figure, facts, styles, faults) for figure in figures])
            for heading, lead, figures in (
                (
                    "The report's figures",
                    "The measures of the ATOM Report, in its order, from public sources only.",
                    THE_REPORTS,
                ),
                (
                    "Behind the figures",
                    "What the report does not publish: coverage, anomalies, the weight of every disputed"
                    " choice, and each of its claims beside what is measured here.",
                    OURS,
                ),
            )
        ]
    finally:
        connection.close()
    every = [figure for _, _, figures in sections for figure in figures]
    empty = {figure["id"]: figure["gap"] for figure in every if figure["gap"]}
    scripts = [_libraries(), (HERE / "page.js").read_text(encoding="utf-8")]
    environment = Environment(
        loader=FileSystemLoader(HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    html = environment.get_template("page.html.j2").render(
        facts=facts,
        caveat=_linked(facts.caveat),
        sections=sections,
        css=Markup((HERE / "page.css").read_text(encoding="utf-8")),  # noqa: S704 - our own file
        scripts=[Markup(script) for script in scripts],  # noqa: S704 - libraries and our own file
        policy=_policy(scripts),
        settings=embedded(
            {
                "world": facts.world,
                "is_synthetic": facts.is_synthetic,
                "build": facts.build_id,
                "dark": charts.DARK,
            }
        ),
    )
    return html, len(every) - len(empty), empty, faults


def facts_of(connection: duckdb.DuckDBPyConnection) -> Facts:
    """What the file says of itself."""
    names = [row[0] for row in connection.execute("describe meta.build").fetchall()]
    held = connection.execute("select * from meta.build").fetchone()
    assert held is not None  # noqa: S101 - a published file has its build
    build = dict(zip(names, held, strict=True))
    switches = json.loads(build["vars"])
    one = connection.execute(
        "select count(*) filter (where tracked_list = 'core' and alias_of is null) from marts.models"
    ).fetchone()
    held_of = contents.read(connection)
    readings = connection.execute(
        "select max(observed_on), count(downloads_all_time) > 0 from marts.observations"
    ).fetchone()
    assert one and readings  # noqa: S101 - aggregates have a row
    cut_off = {}
    if readings[0]:
        kind = "Simulated Hub readings" if held_of.is_synthetic else "Hub readings"
        cut_off["hub"] = f"{kind} up to {readings[0]:%Y-%m-%d}"
    rankings = [source for source in held_of.sources if source.name in contents.RANKINGS]
    tokens = _up_to(held_of.tokens) if held_of.tokens else None
    if tokens:
        kind = "Simulated OpenRouter tokens" if held_of.is_synthetic else "OpenRouter tokens"
        cut_off["openrouter"] = f"{kind} {tokens}"
        if held_of.attribution:
            terms = rankings[0].origin.licence.title
            cut_off["openrouter"] += f". {held_of.attribution.removesuffix('.')}, {terms}"
    rules = connection.execute(
        "select rule, passed, description, violations, examples from meta.checks order by rule"
    ).fetchall()
    return Facts(
        world=build["world"],
        is_synthetic=build["is_synthetic"],
        build_id=build["build_id"],
        built_at=build["built_at"],
        as_of=build["as_of"],
        versions={
            "atom-dagster": build["atom_version"],
            "DuckDB": build["duckdb_version"],
            "dbt": build["dbt_version"],
        },
        model_set=_model_set(switches, one[0]) + (", as far as recorded" if held_of.caveat else ""),
        everyone=f"every {'recorded ' if held_of.caveat else ''}model that names a base, listed or not",
        cut_off=cut_off,
        tokens=tokens,
        attribution=held_of.attribution,
        caveat=held_of.caveat,
        licences=[]
        if held_of.is_synthetic
        else sorted({f"{source.origin.title}: {source.origin.licence.title}" for source in held_of.sources}),
        has_counters=bool(readings[1]),
        rules=len(rules),
        warnings=[(name, _wrong(*found)) for name, passed, *found in rules if not passed],
    )


def _wrong(description: str, violations: int, examples: str) -> str:
    """What is wrong where a rule does not hold: its description says what would be right."""
    told = f"Does not hold: {description} ({violations:,} violation{'' if violations == 1 else 's'}"
    return f"{told}: {textwrap.shorten(examples, 300, placeholder=' …')})" if examples else f"{told})"


def _up_to(tokens: contents.Tokens) -> str:
    """Up to which day tokens are held, in words."""
    if tokens.is_whole:
        return f"up to {tokens.last_day:%Y-%m-%d}"
    return (
        f"up to {tokens.asked_until:%Y-%m-%d} at the latest ({tokens.days} days of {tokens.month:%Y-%m} are"
        " held)"
    )


def _linked(caveat: str | None) -> Markup:
    """The caveat, a figure's id in backticks as a link to it."""
    titles = {figure.id: figure.title for figure in (*THE_REPORTS, *OURS)}
    parts = (caveat or "").split("`")
    for place in range(1, len(parts), 2):
        name = parts[place]
        parts[place] = Markup('<a href="#{}">{}</a>').format(name, titles[name]) if name in titles else name
    return Markup("").join(parts)


def _model_set(switches: Mapping[str, Any], core: int) -> str:
    name = str(switches.get("model_set", "core"))
    said = _SETS.get(name, name)
    if name == "core":
        said += f", {core:,} models"
    t5gemma = "with" if switches.get("include_t5gemma", True) else "without"
    variants = "merged" if switches.get("merge_precision_variants", False) else "apart"
    return f"{said}, {t5gemma} T5Gemma, precision variants {variants}"


def rows_of(connection: duckdb.DuckDBPyConnection, figure: Figure) -> list[dict[str, Any]]:
    """A figure's rows, as its SQL gives them."""
    result = connection.execute(figure.sql)
    names = [column[0] for column in result.description]
    if names != [column.name for column in figure.columns]:
        raise ValueError(f"The SQL of figure {figure.id} gives {names}, other columns than it declares.")
    return [dict(zip(names, values, strict=True)) for values in result.fetchall()]


def contained(
    connection: duckdb.DuckDBPyConnection,
    figure: Figure,
    facts: Facts,
    styles: Styler,
    faults: dict[str, str],
) -> dict[str, Any]:
    """``shown``, or the figure without data where it cannot be made; what went wrong goes to ``faults``.

    The page names no more than the kind of the fault: messages may name files of the machine.
    """
    try:
        return shown(connection, figure, facts, styles)
    except Exception as error:
        faults[figure.id] = f"{type(error).__name__}: {error}".splitlines()[0]
        gap = (
            f"This figure could not be made ({type(error).__name__}): that is a fault here, not in the data."
        )
        return described(figure, facts, [], Drawing([]), "", gap)


def shown(
    connection: duckdb.DuckDBPyConnection, figure: Figure, facts: Facts, styles: Styler
) -> dict[str, Any]:
    """What the template needs of a figure."""
    rows = rows_of(connection, figure)
    is_empty = all(row[figure.measure] is None for row in rows)
    # The tests check every specification against Vega-Lite's schema, which takes seconds.
    with debug_mode(False):
        drawing = Drawing([]) if is_empty else figure.draw(rows, styles)
    return described(
        figure,
        facts,
        rows,
        drawing,
        "" if is_empty else figure.tell(rows),
        figure.gap(facts) if is_empty else "",
    )


def described(
    figure: Figure,
    facts: Facts,
    rows: Sequence[Row],
    drawing: Drawing,
    sentence: str,
    gap: str,
) -> dict[str, Any]:
    """A figure as the template takes it."""
    return {
        "id": figure.id,
        "title": figure.title,
        "question": figure.question,
        "definition": figure.definition,
        "model_set": figure.model_set.format(core=facts.model_set, everyone=facts.everyone),
        "cut_off": facts.cut_off.get(figure.source, "nothing of this source is held"),
        "remarks": list(figure.remarks),
        "marks": marks.explained(rows, drawing.marked or (figure.measure,)) if drawing.panels else [],
        "marts": figure.marts,
        "sql": figure.sql,
        "sentence": sentence,
        "gap": gap,
        "rows": len(rows),
        "panels": [panel.title for panel in drawing.panels],
        "has_log": figure.has_log and not gap,
        "is_table_open": figure.is_table_open,
        "data": embedded(
            {
                "columns": [
                    {
                        "name": column.name,
                        "label": column.label,
                        "kind": column.kind,
                        "is_key": column.name in figure.keys,
                        "is_secondary": column.is_secondary,
                    }
                    for column in figure.columns
                ],
                "values": [packed([row[column.name] for row in rows]) for column in figure.columns],
                "panels": [
                    {"title": panel.title, "spec": panel.chart.to_dict(validate=False)}
                    for panel in drawing.panels
                ],
                "legend": [
                    {
                        "key": style.key,
                        "label": style.label,
                        "color": style.color,
                        "dash": list(style.dash),
                        "shape": style.shape,
                    }
                    for style in drawing.legend
                ],
            }
        ),
    }


def packed(values: Sequence[Any]) -> Any:
    """A column for embedding: its values, or its distinct texts and each row's place among them.

    Dates are ISO texts. Numbers keep every digit: rounding is the display's.
    """
    plain = [value.isoformat() if isinstance(value, date | datetime) else value for value in values]
    if not any(isinstance(value, str) for value in plain):
        return plain
    texts = sorted({value for value in plain if value is not None})
    if len(texts) * 2 > len(plain):
        return plain
    place = {text: number for number, text in enumerate(texts)}
    return {"of": texts, "at": [None if value is None else place[value] for value in plain]}


def embedded(value: Any) -> Markup:
    """JSON for the inside of a script element: nothing in it can end the element or begin another."""
    return Markup(script_json(value))  # noqa: S704 - escaped there


@cache
def _libraries() -> str:
    """Vega, Vega-Lite and Vega-Embed as one script, from the wheel: no network.

    The bundle's own `vega` and `vegaLite` are null in vl-convert 1.9; `vegaEmbed` holds both.
    """
    script = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
    return script.replace("</script", "<\\/script")


def _policy(scripts: Sequence[str]) -> str:
    """A content policy under which only the page's own scripts run and nothing is ever requested.

    Vega compiles its expressions, hence ``unsafe-eval``.
    """
    hashes = " ".join(
        f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
        for script in scripts
    )
    return (
        f"default-src 'none'; script-src {hashes} 'unsafe-eval'; style-src 'unsafe-inline';"
        " img-src data: blob:; base-uri 'none'; form-action 'none'"
    )
