"""The example as a notebook: it runs from top to bottom, and holds the very lines of the walk-through."""

from datetime import UTC, datetime
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from core.ingest.sample import Sample
from core.question import Question
from core.view import text, walkthrough

NOTEBOOK = Path(__file__).resolve().parent.parent / "examples" / "aws_xray_example.ipynb"


def cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_it_runs_from_top_to_bottom_and_ends_in_a_forecast():
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    resources = {"metadata": {"path": str(NOTEBOOK.parent)}}  # where Jupyter starts it
    NotebookClient(notebook, timeout=120, kernel_name="python3", resources=resources).execute()
    shown = [out["data"] for cell in cells(notebook) for out in cell.outputs if "data" in out]
    texts = "\n".join(data["text/plain"] for data in shown)

    assert sum("image/png" in data for data in shown) == 3
    assert "Crossing(probability=0." in texts
    assert "observed_threshold" in texts
    assert "yhat_upper" in texts


@pytest.mark.usefixtures("fresh")
def test_it_holds_the_lines_of_the_walk_through(store):
    now = datetime.now(UTC).replace(tzinfo=None)
    Sample(store, now).refresh(now)
    terms = text.terms(Question(), 150.0, now, now, text.zone("UTC"))
    in_notebook = [cell.source for cell in cells(nbformat.read(NOTEBOOK, as_version=4))]

    for step in walkthrough.steps(Question(), now, terms)[1:5]:
        assert any(source.startswith(step.code) for source in in_notebook), step.title


def test_it_is_kept_without_what_it_showed():
    notebook = nbformat.read(NOTEBOOK, as_version=4)

    assert [cell.outputs for cell in cells(notebook)] == [[]] * len(cells(notebook))
