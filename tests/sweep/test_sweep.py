"""The range sweep: what it saw, and that it leaves no trace."""

import csv

import keras
import numpy as np
import pytest
import tensorflow as tf

import kernels
import trainloop
from support import small, workdirs
from trainloop.sweep import report
from trainloop.sweep import sweep as sweep_lib


def make(engine="graph", **options):
  options = {"schedule": kernels.OneCycle(0.05, 52), **options}
  return small.loop(
    small.model(rich=engine == "graph"),
    keras.optimizers.Adam(),
    compile=engine,
    bias_correction="exact",
    early_stopping=trainloop.EarlyStopping(patience=9, restore="all"),
    reduce_on_plateau=trainloop.ReduceOnPlateau(patience=1, factor=0.5),
    **options,
  )


def fit(loop, data=None, epochs=2, **options):
  data = small.data(100, 8, drop_remainder=False) if data is None else data
  return loop.fit(data, epochs, validation=small.data(32, 16), **options)


def everything(loop):
  """Bytes of every variable that training moves, by group."""
  groups = loop.trainee.moved()
  return {name: small.digest(group.values()) for name, group in groups.items()}


def sweep(loop, data=None, **options):
  data = small.data(100, 8, drop_remainder=False) if data is None else data
  return trainloop.sweep_learning_rate(
    loop, data, **{"steps": 40, "max_lr": 1.0, **options}
  )


@pytest.mark.parametrize("engine", ["graph", "xla"])
def test_a_run_after_a_sweep_is_the_run_without_one(engine):
  with_sweeps, without = make(engine), make(engine)
  sweep(with_sweeps)
  first = fit(with_sweeps)
  before = everything(with_sweeps)
  sweep(with_sweeps, spacing="linear", divergence=None)
  assert everything(with_sweeps) == before
  second = fit(with_sweeps)
  for mine, want in zip((first, second), (fit(without), fit(without)),
                        strict=True):  # fmt: skip
    for name, values in want.rows.items():
      assert mine.rows[name].tobytes() == values.tobytes(), name
    for name, values in want.epochs.items():
      np.testing.assert_array_equal(mine.epochs[name], values, name)
  assert everything(with_sweeps) == everything(without)
  assert with_sweeps.traces == without.traces
  assert with_sweeps.global_step == without.global_step


def test_a_sweep_is_a_fit_under_a_range_sweep():
  schedule = kernels.RangeSweep(1e-4, 0.1, 30)
  found = trainloop.sweep_learning_rate(
    small.loop(compile="graph"), small.data(), min_lr=1e-4, max_lr=0.1, steps=30
  )
  rates = kernels.tabulate(schedule, 30)[0]
  assert found.learning_rates.tobytes() == rates.tobytes()
  assert not found.diverged and found.steps == 30
  # 24 of the 30 steps.
  want = (
    small.loop(schedule=schedule, compile="graph").fit(small.data(), 2).rows
  )
  assert found.losses[:24].tobytes() == want["loss"].tobytes()


class Stop(Exception):
  pass


@pytest.mark.parametrize("cause", ["nan", "interrupt", "exception"])
def test_whatever_ends_it_everything_is_as_before(monkeypatch, cause):
  loop = make()
  fit(loop)
  before = everything(loop)
  if cause == "nan":
    found = sweep(loop, max_lr=1e38, divergence=None)
    assert found.diverged and len(found.losses) < 40
    assert np.isfinite(found.losses).all()
  elif cause == "interrupt":
    monkeypatch.setattr(sweep_lib, "_MOST", 5)
    plain, calls = trainloop.compiled.window.Window.__call__, []

    def window(self, *fed):
      calls.append(1)
      if len(calls) == 4:
        raise KeyboardInterrupt
      return plain(self, *fed)

    monkeypatch.setattr(trainloop.compiled.window.Window, "__call__", window)
    with pytest.raises(KeyboardInterrupt):
      sweep(loop, divergence=None)
  else:

    def batches():
      x, y = small.arrays(96)
      for i in range(0, 96, 8):
        if i == 48:
          raise Stop
        yield x[i : i + 8], y[i : i + 8]

    spec = (
      tf.TensorSpec([None, 8], tf.float32),
      tf.TensorSpec([None], tf.int64),
    )
    data = tf.data.Dataset.from_generator(batches, output_signature=spec)
    with pytest.raises(RuntimeError, match=r"^Stop \(line .*, in batches\)$"):
      sweep(loop, data, steps_per_epoch=40)
  assert everything(loop) == before
  assert loop.optimizer.learning_rate.numpy() == np.float32(
    loop.history.rows["learning_rate"][-1]
  )


@pytest.mark.parametrize("engine", ["graph", "xla"])
def test_the_window_does_not_matter(monkeypatch, engine):
  found = []
  for most in (1, 7, 256) if engine == "graph" else (7, 256):
    monkeypatch.setattr(sweep_lib, "_MOST", most)
    found.append(sweep(make(engine), max_lr=1e3))
  assert found[0].diverged and 10 < len(found[0].losses) < 40
  for one in found[1:]:
    assert one.losses.tobytes() == found[0].losses.tobytes()
    assert one.learning_rates.tobytes() == found[0].learning_rates.tobytes()


def test_it_ends_at_the_first_loss_above_the_bound():
  found = sweep(make(), max_lr=1e3, smoothing=0.9, divergence=2.0)
  least = np.minimum.accumulate(found.smoothed)
  above = found.losses > 2 * least * (1 + 1e-9)
  assert found.diverged and above[-1] and not above[:-1].any()
  assert not sweep(make(), max_lr=1e3, divergence=None).diverged


def test_a_loss_below_zero_is_no_divergence():
  def loss(y, y_pred):
    del y
    return keras.ops.mean(y_pred, axis=-1) * 0 - 5.0 + 0 * y_pred[:, 0]

  loop = small.loop(loss=loss, metrics=None, compile="graph")
  found = trainloop.sweep_learning_rate(loop, small.data(), steps=20)
  assert not found.diverged and found.losses.tolist() == [-5.0] * 20


def test_on_validation_batches_in_turn():
  loop = small.loop(compile="graph")
  x, y = small.arrays(40, seed=3)
  valid = trainloop.ArrayData(x, y, batch_size=16)
  found = sweep(
    loop, min_lr=1e-30, max_lr=2e-30, on="validation", validation=valid,
    steps=5,
  )  # fmt: skip
  want = [
    loop.evaluate(trainloop.ArrayData(x[i : i + 16], y[i : i + 16],
                                      batch_size=16))["loss"]
    for i in (0, 16, 0, 16, 0)
  ]  # fmt: skip
  np.testing.assert_allclose(found.losses, want, rtol=1e-6)


def test_a_dataset_is_at_the_same_place_afterwards():
  x, y = small.arrays()
  dataset = tf.data.Dataset.from_tensor_slices((x, y)).batch(8)
  source = trainloop.data.dataset.DatasetData(dataset, steps_per_epoch=7)
  mine, other = small.loop(compile="graph"), small.loop(compile="graph")
  mine.fit(source, 1)
  sweep(mine, source, steps=20)
  mine.fit(source, 1)
  again = trainloop.data.dataset.DatasetData(dataset, steps_per_epoch=7)
  other.fit(again, 1)
  other.fit(again, 1)
  assert small.state_of(mine) == small.state_of(other)


def test_a_workdir_goes_on_after_a_sweep(tmp_path):
  mine, other = make(workdir=tmp_path / "a"), make(workdir=tmp_path / "b")
  sweep(mine)
  fit(mine)
  fit(other)
  assert small.state_of(mine) == small.state_of(other)
  again = make(workdir=tmp_path / "a")
  sweep(again)
  assert fit(again).restored
  assert small.state_of(again) == small.state_of(other)


def test_the_schedules_momentum_finds_its_slots():
  loop = small.loop(
    optimizer=keras.optimizers.SGD(),
    schedule=kernels.OneCycle(0.1, 12),
    compile="graph",
  )
  sweep(loop, small.data())
  rows = loop.fit(small.data(), 1).rows
  assert rows["momentum"][0] == np.float32(0.95)


@pytest.fixture(scope="module")
def compared():
  loops = {
    "SGD": small.loop(optimizer=keras.optimizers.SGD(), compile="graph"),
    "Adam": small.loop(optimizer=keras.optimizers.Adam(), compile="graph"),
  }
  return trainloop.compare_learning_rates(
    loops, small.data(), min_lr=1e-4, max_lr=10.0, steps=80, smoothing=0.9
  )


def test_png_csv_and_tensorboard(compared, tmp_path):
  pytest.importorskip("matplotlib")
  report.save(tmp_path / "out", compared)
  names = sorted(path.name for path in (tmp_path / "out").iterdir())
  assert names == ["Adam", "SGD", "sweep.csv", "sweep.png"]
  png = (tmp_path / "out" / "sweep.png").read_bytes()
  assert png.startswith(b"\x89PNG") and len(png) > 10_000
  with open(tmp_path / "out" / "sweep.csv", encoding="utf-8") as file:
    lines = list(csv.DictReader(file))
  for name, one in compared.items():
    mine = [line for line in lines if line["sweep"] == name]
    losses = np.array([float(line["loss"]) for line in mine], np.float32)
    assert losses.tobytes() == one.losses.tobytes()
    series = workdirs.scalars(tmp_path / "out" / name)
    steps, values = series["loss"]
    assert steps == list(range(len(one.losses)))
    assert values.tobytes() == one.losses.tobytes()
    rates = series["hyperparameters/learning_rate"][1]
    assert rates.tobytes() == one.learning_rates.tobytes()
  one.plot(tmp_path / "one.png")
  assert (tmp_path / "one.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
  ("options", "name"),
  [
    ({"min_lr": 0.0}, "min_lr"),
    ({"min_lr": 2.0}, "max_lr"),
    ({"max_lr": float("inf")}, "max_lr"),
    ({"steps": 1}, "total_steps"),
    ({"steps": "many"}, "steps"),
    ({"spacing": "cubic"}, "spacing"),
    ({"on": "test"}, "on"),
    ({"on": "validation"}, "validation"),
    ({"validation": 3}, "validation"),
    ({"smoothing": 1.0}, "smoothing"),
    ({"divergence": 1.0}, "divergence"),
    ({"divergence": float("nan")}, "divergence"),
  ],
)
def test_bad_arguments(options, name):
  with pytest.raises(ValueError, match=f"`{name}` must be"):
    sweep(small.loop(compile="graph"), **options)
  with pytest.raises(ValueError, match="`loops` must be a dict"):
    trainloop.compare_learning_rates({}, small.data())


@pytest.mark.parametrize(
  "loop", [None, "loop", 3, trainloop.TrainLoop, keras.Sequential(), make]
)
def test_what_is_no_loop_is_refused_in_a_line(loop):
  kind = type(loop).__name__
  with pytest.raises(
    ValueError, match=r"^`loop` must be a TrainLoop; got"
  ) as e:
    trainloop.sweep_learning_rate(loop, small.data())
  assert kind in str(e.value)
  with pytest.raises(ValueError, match=r"^`loop` must be a TrainLoop"):
    trainloop.compare_learning_rates({"one": loop}, small.data())
