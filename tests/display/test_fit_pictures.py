"""Pictures of a fit: what is drawn, read from the figure."""

import pytest

import kernels
import trainloop
from support import small
from trainloop.display import figures

pytest.importorskip("matplotlib")


@pytest.fixture(scope="module")
def history():
  loop = small.loop(
    schedule=kernels.OneCycle(0.1, 48),
    early_stopping=trainloop.EarlyStopping(target=100.0),
    validate_every="30st",
    compile="graph",
  )
  # Stopped by its target after 30 of 48 steps.
  return loop.fit(small.data(), 4, validation=small.data(32, 16))


def drawn(history, what, tmp_path, monkeypatch):
  """{name: (x, y)} of the lines of a picture."""
  kept = {}
  plain = figures.save

  def save(figure, path):
    for line in figure.axes[0].lines:
      kept[line.get_label()] = line.get_data()
    plain(figure, path)

  with monkeypatch.context() as patch:
    patch.setattr(figures, "save", save)
    history.plot(what, tmp_path / "fit.png")
  png = (tmp_path / "fit.png").read_bytes()
  assert png.startswith(b"\x89PNG") and len(png) > 5_000
  return kept


@pytest.mark.parametrize("what", ["learning_rate", "momentum"])
def test_the_plan_and_what_was_used(history, tmp_path, monkeypatch, what):
  lines = drawn(history, what, tmp_path, monkeypatch)
  assert len(lines["planned"][0]) == 48 and len(lines["used"][0]) == 30
  used = lines["used"][1]
  assert used.tobytes() == history.rows[what].tobytes()
  assert used.tobytes() == lines["planned"][1][:30].tobytes()


def test_losses_of_updates_and_epochs(history, tmp_path, monkeypatch):
  lines = drawn(history, "loss", tmp_path, monkeypatch)
  assert set(lines) == {
    "loss of an update",
    "loss of an epoch",
    "val_loss of an epoch",
  }
  assert lines["loss of an epoch"][0].tolist() == [11, 23, 29]
  lines = drawn(history, "accuracy", tmp_path, monkeypatch)
  assert set(lines) == {"accuracy", "val_accuracy"}


def test_what_is_not_there(history, tmp_path):
  with pytest.raises(ValueError, match="`what` must be one of loss, learning"):
    history.plot("auc", tmp_path / "fit.png")
  loop = small.loop(optimizer="adadelta", compile="graph")
  plain = loop.fit(small.data(), 1)
  with pytest.raises(ValueError, match="`what` must be 'loss' or 'learning_r"):
    plain.plot("momentum", tmp_path / "fit.png")
  assert not list(tmp_path.iterdir())
