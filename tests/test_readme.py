"""The README holds what the code has: every setting, every table and its columns, every parameter."""

import re
from dataclasses import fields
from datetime import datetime
from pathlib import Path

import pytest

from core import settings
from core.downloads import TABLES
from core.question import Question

README = (Path(__file__).resolve().parent.parent / "README.md").read_text("utf-8")
FROM_A_LATER_PAGE = {"trace", "q", "where", "sort"}  # accepted, and of no use yet


def rows(heading: str) -> list[list[str]]:
    """The cells of the first table below a heading, without its head."""
    section = README.split(f" {heading}\n", 1)[1]
    table = section[section.index("\n|") + 1 :].split("\n\n", 1)[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]


def names(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def test_each_setting_stands_in_the_readme_with_its_default():
    read = set(re.findall(r'read\(\s*"([A-Z_]+)"', Path(settings.__file__).read_text("utf-8")))

    assert {names(row[0])[0] for row in rows("Settings")} == {f"TRACECAST_{name}" for name in read}


@pytest.mark.parametrize("name", list(TABLES))
def test_each_table_stands_in_the_readme_with_its_columns(name, store):
    documented = {table: names(row[1]) for row in rows("CSV") for table in names(row[0])}

    frame = next(iter(TABLES[name](Question(), datetime(2026, 11, 24))))

    assert list(frame.columns) == ["source", "measure", "unit", *documented[name]]


def test_no_table_stands_in_the_readme_that_is_not_there():
    assert {table for row in rows("CSV") for table in names(row[0])} == set(TABLES)


def test_each_parameter_stands_in_the_readme():
    documented = {name for row in rows("Parameters") for name in names(row[0])}

    assert documented == {field.name for field in fields(Question)} - FROM_A_LATER_PAGE
