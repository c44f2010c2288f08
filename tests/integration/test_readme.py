"""The README's questions give the README's answers."""

from __future__ import annotations

import re

import pytest

from tests.conftest import ROOT, atom

QUESTIONS = re.findall(
    r"\*\*([^*\n]+\?)\*\*\n\n```sql\n(.+?)\n```\n\n```text\n(.+?)\n```",
    (ROOT / "README.md").read_text(),
    re.S,
)


def test_there_are_five_questions():
    assert len(QUESTIONS) == 5


@pytest.mark.parametrize(("sql", "answer"), [pytest.param(s, a, id=q) for q, s, a in QUESTIONS])
def test_a_question_gives_the_answer_shown(sample, sql, answer):
    done = atom("sql", sql, environment=sample.environment)
    assert done.returncode == 0, done.stderr
    assert [line.split() for line in done.stdout.splitlines()] == [
        line.split() for line in answer.splitlines()
    ]


def test_every_command_shown_exists(sample):
    text = (ROOT / "README.md").read_text()
    shown = set(re.findall(r"\.venv/bin/atom (\w+)", text))
    assert {"run", "backfill", "sql", "status", "doctor", "serve"} <= shown
    for command in shown | {"ui"}:
        assert atom(command, "--help", environment=sample.environment).returncode == 0


def test_status_and_doctor_answer(sample):
    status = atom("status", environment=sample.environment)
    assert status.returncode == 0, status.stderr
    assert "2023-11" in status.stdout
    assert "synthetic" in status.stdout
    doctor = atom("doctor", environment=sample.environment)
    assert doctor.returncode == 0, doctor.stdout
    assert "hub_archive answers: 148 snapshots" in doctor.stdout
