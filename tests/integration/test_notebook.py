"""scripts/examples/tuning_learning_rates.ipynb: it runs, and shows what it
shows in the repository."""

import re

import numpy as np
import pytest

from support import commands, notebooks

pytest.importorskip("matplotlib")
pytest.importorskip("sklearn")

PATH = commands.ROOT / "scripts" / "examples" / "tuning_learning_rates.ipynb"
NOTEBOOK = notebooks.read(PATH)
CELLS = {cell["id"]: cell for cell in notebooks.code(NOTEBOOK)}
FITS = ("constant", "lower", "sgdr", "one_cycle", "autofit", "wsd", "cooldown")


def run(data_path=""):
  """({cell: outputs}, namespace) of the notebook as it is in the repository."""
  with pytest.MonkeyPatch.context() as patch:
    patch.setenv("IMDB", data_path)
    patch.setenv("TF_CPP_MIN_LOG_LEVEL", "2")  # it sets that: to be put back
    patch.setenv("COLUMNS", "80")
    outputs, namespace = notebooks.run(NOTEBOOK)
  return dict(zip(CELLS, outputs, strict=True)), namespace


@pytest.fixture(scope="module")
def done():
  return run()


def first_words(outputs):
  """The first word of each line: what is told, whatever its numbers are."""
  lines = notebooks.text_of(outputs).splitlines()
  found = [re.search(r"[a-zA-Z_]{2,}", line) for line in lines]
  return {word[0] for word in found if word}


@pytest.mark.parametrize("name", CELLS)
def test_what_a_cell_shows_is_in_the_repository(done, name):
  shown, kept = done[0][name], CELLS[name]["outputs"]
  assert shown and [one["output_type"] for one in shown] == [
    one["output_type"] for one in kept
  ]
  assert first_words(shown) == first_words(kept)
  pairs = zip(
    notebooks.pictures_of(shown), notebooks.pictures_of(kept), strict=True
  )
  for mine, theirs in pairs:
    for png in (mine, theirs):
      assert png.startswith(b"\x89PNG") and len(png) > 5_000
    assert mine[16:24] == theirs[16:24]  # width and height


def test_the_rate_that_the_sweep_suggests_trains(done):
  namespace = done[1]
  sweep, lr, high = (namespace[name] for name in ("sweep", "lr", "high"))
  assert sweep.diverged and len(sweep.losses) > 100
  assert 1e-4 < lr == sweep.suggestions["valley"] < 0.1
  assert lr < high == sweep.lr_range[1] < 0.1
  assert set(namespace["constant"].rows["learning_rate"]) == {np.float32(lr)}
  for name in FITS:
    assert namespace[name].epochs["val_accuracy"][-1] > 0.9, name


def test_each_schedule_is_what_its_cell_says(done):
  namespace = done[1]
  high = np.float32(namespace["high"])
  rates = {name: namespace[name].rows["learning_rate"] for name in FITS}
  restarts = np.flatnonzero(np.diff(rates["sgdr"]) > 0) + 1
  assert restarts.tolist() == [44, 3 * 44] and len(rates["sgdr"]) == 7 * 44
  assert (rates["sgdr"][[0, *restarts]] == high).all()
  assert rates["one_cycle"].argmax() == pytest.approx(7 * 22, abs=1)
  assert namespace["autofit"].stop_reason == "early_stopping"
  assert rates["autofit"].max() == high
  assert rates["autofit"][-44:].max() < high  # the plateau cut it
  assert (rates["wsd"][22 : 22 + 4 * 44] == high).all()
  assert rates["cooldown"][0] == high
  assert (np.diff(rates["cooldown"]) < 0).all()


def test_its_progress_is_live(done):
  text = notebooks.text_of(done[0]["constant"])
  assert "epoch 4/4  loss" in text  # a log would have the step there, too
  assert "\r" not in text and "compiling" not in text


def test_what_jupyter_shows_of_a_line_that_is_written_over():
  text = "\rfirst line\rsecond\r      \rkept\nnext\n"
  assert notebooks.seen(text) == "kept  line\nnext\n"


def test_the_file_is_small_and_says_nothing_of_a_machine():
  assert PATH.stat().st_size < 300_000
  cells = NOTEBOOK["cells"]
  assert len({cell["id"] for cell in cells}) == len(cells)
  assert set(NOTEBOOK["metadata"]) == {"kernelspec", "language_info"}
  counts = [cell["execution_count"] for cell in CELLS.values()]
  assert counts == list(range(1, len(CELLS) + 1))
  for cell in cells:
    shown = notebooks.text_of(cell.get("outputs", []))
    text = f"{''.join(cell['source'])}\n{shown}"
    assert not cell["metadata"]
    assert not re.search(r"(^|[\s'\"(=])(/|~|[A-Z]:\\)\w", text), cell["id"]


def test_the_cells_are_short_and_each_has_words_before_it():
  kinds = [cell["cell_type"] for cell in NOTEBOOK["cells"]]
  assert kinds == ["markdown", "code"] * (len(kinds) // 2)
  for cell in NOTEBOOK["cells"]:
    most = 20 if cell["cell_type"] == "code" else 6
    assert len(cell["source"]) <= most, cell["id"]
    assert max(len(line.rstrip("\n")) for line in cell["source"]) <= 80


def test_it_runs_in_jupyter(tmp_path, monkeypatch):
  nbformat = pytest.importorskip("nbformat")
  nbclient = pytest.importorskip("nbclient")
  pytest.importorskip("ipykernel")
  monkeypatch.setenv("PYTHONPATH", str(commands.ROOT))
  monkeypatch.delenv("IMDB", raising=False)
  notebook = nbformat.read(PATH, as_version=4)
  nbformat.validate(notebook)
  nbclient.NotebookClient(
    notebook, timeout=200, resources={"metadata": {"path": str(tmp_path)}}
  ).execute()
  for cell in notebooks.code(notebook):
    assert cell["outputs"], cell["id"]


@pytest.mark.long
def test_film_reviews(data_file):
  outputs, namespace = run(data_file("imdb.npz"))
  assert "film reviews" in notebooks.text_of(outputs["settings"])
  for name in FITS:  # of which most go on for too long
    assert namespace[name].epochs["val_accuracy"].max() > 0.83, name
  assert namespace["constant"].epochs["val_accuracy"].max() > 0.87
