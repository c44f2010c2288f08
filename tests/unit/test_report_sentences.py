"""What the report says in words, where little is measured or few are counted."""

from __future__ import annotations

import json
from pathlib import Path

import duckdb
import pytest

from atom_dagster.report import page, palette
from atom_dagster.report.figures import FIGURES
from tests.unit import _published

BY_ID = {figure.id: figure for figure in FIGURES}


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _published.write(tmp_path_factory.mktemp("published") / "atom.duckdb")


@pytest.fixture
def shown_of(database: Path, tmp_path: Path):
    """A figure of the file as statements change it."""

    def show(statements: str, figure_id: str) -> dict:
        changed = tmp_path / "changed.duckdb"
        changed.write_bytes(database.read_bytes())
        with duckdb.connect(str(changed)) as connection:
            for statement in statements.split(";"):
                connection.execute(statement)
            facts, styles = page.facts_of(connection), palette.of(connection).styles
            return page.shown(connection, BY_ID[figure_id], facts, styles)

    return show


UNCOVERED = """
    update marts.downloads_concentration_monthly set coverage = 0.6 where month {months};
    update marts.downloads_by_organization_monthly
    set coverage = 0.6, downloads_linked = downloads + 700000000
    where month = '2025-12-01' and organization = 'Qwen';
    update marts.downloads_by_size_monthly set coverage = 0.6 where month {months}"""
BY_MONTH = ("monthly_by_organization", "share_of_largest_size", "size_mix", "top_models", "concentration")


@pytest.mark.parametrize("figure_id", [*BY_MONTH, "model_sets"])
def test_a_sentence_is_about_the_newest_month_that_is_covered(figure_id: str, shown_of):
    told = shown_of(UNCOVERED.format(months="= '2025-12-01'"), figure_id)["sentence"]
    assert "November 2025" in told
    assert "December 2025" not in told
    assert "is measured" not in told


@pytest.mark.parametrize("figure_id", [*BY_MONTH, "model_sets"])
def test_a_sentence_about_a_month_little_covered_says_so(figure_id: str, shown_of):
    told = shown_of(UNCOVERED.format(months="is not null"), figure_id)["sentence"]
    assert "December 2025 (60.0% of what was expected is measured)" in told


def test_a_sentence_tells_what_is_drawn(shown_of):
    told = shown_of(UNCOVERED.format(months="is not null"), "monthly_by_organization")["sentence"]
    # Twelve and one times four million, and the seven hundred million of the linked line.
    assert "Qwen had 752 million linked downloads" in told


def test_linked_downloads_are_never_added_up(shown_of):
    # Of December 26 + 13 + 6.5 million are measured of the next three; the linked line of one says more.
    linked = """
        update marts.downloads_by_organization_monthly
        set coverage = {coverage}, downloads_linked = downloads + 700000000
        where month = '{month}' and organization = 'Mistral AI'"""
    told = shown_of("select 1", "monthly_by_organization")["sentence"]
    assert "Qwen had 52.0 million downloads, more than the 45.5 million of the next 3 together." in told
    told = shown_of(
        "update marts.downloads_concentration_monthly set coverage = 0.6;"
        + linked.format(coverage=0.75, month="2025-12-01"),
        "monthly_by_organization",
    )["sentence"]
    assert (
        "Mistral AI had 713 million linked downloads; measured are 13.0 million, against the 84.5 million"
        " of the next 3 together (of each at least 75.0% of what was expected)." in told
    )
    # Linked for another month's sake: of this one everything is measured.
    told = shown_of(linked.format(coverage=0.75, month="2025-03-01"), "monthly_by_organization")["sentence"]
    assert (
        "Qwen had 52.0 million downloads, more than the 45.5 million measured of the next 3 together. "
        in told
    )


def test_shares_of_few_derivatives_are_marked_and_not_told(shown_of):
    few = (
        "update marts.derivatives_by_{key}_monthly set new_derivatives = new_derivatives / 10"
        " where month {of}"
    )
    for figure_id, key in (("derivatives_by_region", "region"), ("derivatives_by_family", "family")):
        told = shown_of(few.format(key=key, of="= '2025-11-01'"), figure_id)
        assert "the 75 new derivatives of October 2025" in told["sentence"]
        assert "November 2025" not in told["sentence"]
        assert ("□", "fewer than 30 new derivatives with a known base") in told["marks"]
        assert "□" not in str(shown_of("select 1", figure_id)["marks"])
    for figure_id, key in (
        ("derivatives_by_region", "region"),
        ("derivatives_by_family", "family"),
        ("derivatives_by_threshold", "region"),
    ):
        told = shown_of(few.format(key=key, of="is not null"), figure_id)["sentence"]
        assert "no share is told; the most are the 8 of" in told
        assert "%" not in told


def test_one_month_of_enough_derivatives_has_no_peak(shown_of):
    few = (
        "update marts.derivatives_by_family_monthly set new_derivatives = new_derivatives / 10"
        " where month {of} '2025-10-01'"
    )
    told = shown_of(few.format(of="<>"), "derivatives_by_family")["sentence"]
    assert "the 75 new derivatives of October 2025" in told
    assert "any month" not in told
    assert "any month" in shown_of(few.format(of="="), "derivatives_by_family")["sentence"]


def test_a_crossing_of_shares_that_are_not_comparable_is_none(shown_of):
    crossing = (
        "insert into marts.crossovers by name select 'derivatives_share_by_region' as metric, 'us' as leader,"
        " 'china' as trailer, 1 as occurrence, date '2025-09-01' as month,"
        " date '2025-08-01' as previous_month, 0.6 as leader_value, 0.4 as trailer_value,"
        " true as is_comparable"
    )
    other = "update marts.crossovers set is_comparable = false where metric {} 'derivatives_share_by_region'"
    assert shown_of(crossing, "crossovers")["rows"] == 3
    assert shown_of(f"{crossing}; {other.format('=')}", "crossovers")["rows"] == 2
    # Downloads are shown all the same: the table says what each crossing is worth.
    assert shown_of(f"{crossing}; {other.format('<>')}", "crossovers")["rows"] == 3


def test_model_sets_without_downloads_of_the_core_have_no_share(shown_of):
    found = shown_of("update marts.downloads_by_model_set_monthly set downloads = 0", "model_sets")
    assert found["gap"] == ""
    assert "inf" not in found["sentence"] and "nan" not in found["sentence"]


UNJUDGED = "update marts.new_entrants_monthly set is_entrant = null where organization {of}"


def test_new_entrants_are_told_with_their_coverage(shown_of):
    covered = shown_of("select 1", "new_entrants")["sentence"]
    assert covered.startswith(
        "Strongest of the organizations that were small before 2025-08-01, up to the end of December 2025:"
        " Meta "
    )
    assert "is measured" not in covered and "not known" not in covered
    few = (
        "update marts.new_entrants_monthly set coverage_since = 0.5"
        " where organization = 'Meta' and month {of}"
    )
    assert (
        "up to the end of November 2025:"
        in shown_of(few.format(of="= '2025-12-01'"), "new_entrants")["sentence"]
    )
    assert (
        "up to the end of December 2025 (of each at least 50.0% of what was expected is measured): Meta "
        in shown_of(few.format(of="is not null"), "new_entrants")["sentence"]
    )


def test_nobody_is_the_strongest_entrant_where_hardly_anybody_is_judged(shown_of):
    some = shown_of(UNJUDGED.format(of="= 'Mistral AI'"), "new_entrants")["sentence"]
    assert some.startswith("Strongest of ")
    assert some.endswith("; it is not known whether 1 of 4 organizations were.")
    most = UNJUDGED.format(of="<> 'Meta'")
    told = shown_of(f"{most}; update marts.new_entrants_monthly set coverage_since = 0.5", "new_entrants")
    assert "trongest" not in told["sentence"]
    assert told["sentence"].startswith(
        "It is not known whether 3 of 4 organizations were small before 2025-08-01; of those that were, up to"
        " the end of December 2025 (50.0% of what was expected is measured): Meta "
    )


def test_one_means_another_place_under_another_baseline(shown_of):
    told = shown_of(
        "update marts.ram_baselines set rule = 'median_of_top' where baseline = 'tenth_rolling'",
        "ram_by_baseline",
    )
    assert "under tenth_2025_q4 (on track for the top 10)" in told["sentence"]
    assert "under tenth_rolling (on track for about the top 5)" in told["sentence"]
    assert "among the ten most downloaded" not in told["definition"]
    assert "up to 25" in told["definition"]
    newest = shown_of("select 1", "ram_newest")["definition"]
    assert "1 means on track to be among the ten most downloaded of its size" in newest
    assert "up to 25" in newest and "twenty-five" not in newest


def test_baselines_are_compared_over_the_newest_models_with_a_score(shown_of):
    def models(statements: str, figure_id: str) -> set[str]:
        data = json.loads(shown_of(statements, figure_id)["data"])
        place = [column["name"] for column in data["columns"]].index("model_id")
        return set(data["values"][place]["of"])

    # Of the last year, not of the last 270 days; and one without a score on day 30.
    older = "update marts.models set release_date = '2025-03-01' where model_id = 'Qwen/model-1-5B'"
    young = "update marts.ram_scores set ram = null where day = 30 and model_id = 'Meta/model-1-5B'"
    newest = models(f"{older}; {young}", "ram_newest")
    assert "Qwen/model-1-5B" not in newest
    assert models(f"{older}; {young}", "ram_by_baseline") == newest - {"Meta/model-1-5B"}


def test_equal_scores_do_not_hide_each_other(shown_of):
    data = json.loads(shown_of("select 1", "ram_by_baseline")["data"])
    for layer in data["panels"][0]["spec"]["layer"][1:]:
        assert layer["encoding"]["yOffset"]["field"] == "baseline"
        assert layer["encoding"]["yOffset"]["sort"] == [style["key"] for style in data["legend"]]


PAIRS = """
    delete from marts.derivatives_by_country_pair_monthly;
    insert into marts.derivatives_by_country_pair_monthly by name
    select date '2025-06-01' as month, 'all' as relation, 5 as min_downloads, * from (values
        ('US', 'CN', {us}), ('US', 'US', 9.5), ('CN', 'CN', 12), ('FR', 'FR', 1), ('unknown', 'CN', 400)
    ) as pairs (country, base_country, new_derivatives)"""


def _column(shown: dict, name: str) -> list:
    data = json.loads(shown["data"])
    values = data["values"][[column["name"] for column in data["columns"]].index(name)]
    return [values["of"][place] for place in values["at"]] if isinstance(values, dict) else values


def test_shares_of_country_pairs_are_told_with_what_they_are_of(shown_of):
    found = shown_of(PAIRS.format(us=20.5), "derivatives_by_country_pair")
    assert found["sentence"].endswith(
        ", 43 have both countries known. Most frequent among them is US building on CN (20.5);"
        " 52.3% of the 43 stay at home."
    )
    few = dict(zip(_column(found, "country"), _column(found, "is_few"), strict=True))
    assert few == {"unknown": False, "US": False, "CN": True, "FR": True}
    told = shown_of(PAIRS.format(us=7), "derivatives_by_country_pair")["sentence"]
    assert told.endswith(
        "29.5 have both countries known. Most frequent among them is CN building on CN (12);"
        " they are too few for shares."
    )
    assert "%" not in told


def test_a_country_with_few_derivatives_has_no_share_in_the_chart(shown_of):
    found = shown_of(PAIRS.format(us=20.5), "derivatives_by_country_pair")
    data = json.loads(found["data"])
    [spec] = [panel["spec"] for panel in data["panels"]]
    [cells] = [layer for layer in spec["layer"] if layer["mark"]["type"] == "rect"]
    steps = {step["as"]: step["calculate"] for step in cells["transform"] if "calculate" in step}
    first = data["legend"][0]["key"]
    assert first == "number where n is below 30"
    assert steps["step"].startswith(f'datum["share_of_country"] < (datum.is_few ? 2 : 0) ? "{first}" : ')
    assert steps["said"].startswith("datum.is_few ? format(datum.new_derivatives")
    # The label of a row holds what its shares are of.
    assert '{"unknown": "400", "US": "30", "CN": "12", "FR": "1"}' in str(cells["encoding"]["y"])
