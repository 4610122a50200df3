"""Updates that are not finite: refused at their own step, and what follows."""

import keras
import numpy as np
import pytest

import kernels
import trainloop
from support import small, workdirs

STEPS = 24  # 2 epochs of 12
BAD = (0, 5, 17, 23)  # the first, in a window, in the other epoch, the last


def poisoned(steps=BAD, value=np.nan, batch_size=8, where=0):
  """96 examples in their order, one of them bad in each of some batches."""
  data = small.data(batch_size=batch_size, shuffle=False)
  for step in steps:
    data.arrays[0][step % 12 * batch_size, where] = value
  return data


def loop(engine="graph", optimizer=None, net=None, **options):
  return small.loop(
    small.model(rich=True) if net is None else net,
    optimizer,
    schedule=kernels.OneCycle(0.05, STEPS),
    compile=engine,
    **{"on_nonfinite": "skip", "steps_per_loop": 5, **options},
  )


@pytest.fixture(scope="module", params=["graph", "xla"])
def skipped(request, tmp_path_factory):
  workdir = tmp_path_factory.mktemp(request.param)
  trained = loop(request.param, workdir=workdir)
  valid = small.data(32, 16, seed=1)
  return request.param, trained, trained.fit(poisoned(), 2, validation=valid)


def test_the_step_advances_and_the_row_says_so(skipped):
  _, trained, history = skipped
  rows = history.rows
  assert trained.global_step == STEPS
  assert rows["step"].tolist() == list(range(STEPS))
  # The data's bad examples come back in both epochs.
  bad = sorted({s % 12 + e for s in BAD for e in (0, 12)})
  assert np.flatnonzero(rows["skipped"]).tolist() == bad
  assert set(rows["skipped"]) == {0.0, 1.0}
  # Keras' relu may hide NaN from the loss; the gradient has it.
  assert np.isnan(rows["grad_norm"][bad]).all()
  for name in ("loss", "grad_norm"):
    assert np.isfinite(np.delete(rows[name], bad)).all()
  assert int(trained.optimizer.iterations.numpy()) == STEPS - len(bad)
  # The clock goes on: the rates are those of the schedule at every step.
  rates, _ = kernels.tabulate(kernels.OneCycle(0.05, STEPS), STEPS)
  assert rows["learning_rate"].tobytes() == rates.tobytes()


def test_skipped_losses_are_not_in_the_epochs_mean(skipped):
  _, _, history = skipped
  losses, gone = history.rows["loss"], history.rows["skipped"] == 1
  for epoch in (0, 1):
    part = slice(12 * epoch, 12 * (epoch + 1))
    want = np.mean(losses[part][~gone[part]].astype(np.float64))
    assert history.epochs["loss"][epoch] == pytest.approx(want, rel=1e-6)
  assert np.isfinite(history.epochs["accuracy"]).all()


@pytest.mark.parametrize("steps_per_loop", [1, 12])
def test_the_window_does_not_matter(skipped, steps_per_loop, tmp_path):
  engine, trained, history = skipped
  other = loop(engine, workdir=tmp_path, steps_per_loop=steps_per_loop)
  again = other.fit(poisoned(), 2, validation=small.data(32, 16, seed=1))
  assert small.state_of(other) == small.state_of(trained)
  for name, values in history.rows.items():
    assert again.rows[name].tobytes() == values.tobytes(), name
  found = workdirs.scalars(tmp_path / "train")
  steps, counts = found["skipped"]
  assert steps == np.flatnonzero(again.rows["skipped"]).tolist()
  assert counts.tolist() == list(range(1, len(steps) + 1))
  steps, losses = found["loss"]
  assert steps == list(range(STEPS))
  assert losses.tobytes() == history.rows["loss"].tobytes()


def numpy_sgd(data, rates, momenta, weights):
  """Softmax regression under SGD with momentum, float64, without bad batches.

  Args:
    data: `ArrayData` in the order of its arrays.
    rates, momenta: one a step.
    weights: (kernel, bias) at first.

  Returns:
    (kernel, bias).
  """
  x, y, _ = data.arrays
  kernel, bias = (w.astype(np.float64) for w in weights)
  speed_k, speed_b = np.zeros_like(kernel), np.zeros_like(bias)
  for step, (rate, momentum) in enumerate(zip(rates, momenta, strict=True)):
    at = slice(step % 12 * 8, step % 12 * 8 + 8)
    if not np.isfinite(x[at]).all():
      continue
    logits = x[at] @ kernel + bias
    odds = np.exp(logits - logits.max(1, keepdims=True))
    error = (odds / odds.sum(1, keepdims=True) - np.eye(3)[y[at]]) / 8
    speed_k = momentum * speed_k - rate * x[at].T @ error
    speed_b = momentum * speed_b - rate * error.sum(0)
    kernel, bias = kernel + speed_k, bias + speed_b
  return kernel, bias


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("engine", ["graph", "xla"])
def test_the_weights_are_numpys_without_those_updates(engine, value):
  keras.utils.set_random_seed(0)
  dense = keras.layers.Dense(3, activation="softmax")
  net = keras.Sequential([keras.layers.Input((8,)), dense])
  first, data = net.get_weights(), poisoned(value=value)
  rows = loop(engine, net=net).fit(data, 2).rows
  want = numpy_sgd(data, rows["learning_rate"], rows["momentum"], first)
  for mine, theirs in zip(net.get_weights(), want, strict=True):
    np.testing.assert_allclose(mine, theirs, rtol=2e-4, atol=2e-6)


@pytest.mark.parametrize("engine", ["graph", "xla"])
def test_one_skipped_update_leaves_everything_as_it_was(engine):
  data = poisoned(range(12))
  trained = loop(engine, optimizer=keras.optimizers.Adam(), steps_per_loop=3)
  trained.evaluate(small.data(32, 16))  # builds the state
  before = small.digest(trained.model.variables)
  history = trained.fit(data, 2)
  assert history.rows["skipped"].tolist() == [1.0] * STEPS
  assert small.digest(trained.model.variables) == before
  assert not any(np.any(v) for v in trained.optimizer.variables[2:])
  assert np.isnan(history.epochs["loss"]).all()
  assert trained.global_step == STEPS


def test_it_is_told_in_one_line_a_window(capsys):
  loop(verbose=True).fit(poisoned(), 1)
  told = [s for s in capsys.readouterr().out.splitlines() if "warning" in s]
  assert len(told) == 3  # steps 0; 5; 11
  assert told[-1].startswith("warning: update 11 was not finite (loss ")
  assert told[-1].endswith("1 skipped, 3 so far")


def test_raise_stops_at_the_exact_step():
  trained = loop(on_nonfinite="raise", steps_per_loop=12)
  with pytest.raises(trainloop.NonFiniteError, match="update 5 is not") as hit:
    trained.fit(poisoned([5]), 2)
  assert hit.value.step == 5 == trained.global_step
  assert trained.history.rows["skipped"].tolist() == [0.0] * 5


def diverging(workdir, **options):
  """A run whose rate is so large that its second update is not finite."""
  return small.loop(
    schedule=kernels.Constant(1e20),
    workdir=workdir,
    compile="graph",
    steps_per_loop=5,
    **options,
  )


def test_the_weights_of_the_step_before_are_saved(tmp_path):
  first = diverging(tmp_path)
  with pytest.raises(trainloop.NonFiniteError, match="update 1 is not finite"):
    first.fit(small.data(), 2)
  again = diverging(tmp_path)
  with pytest.raises(trainloop.NonFiniteError, match="update 1 is not finite"):
    again.fit(small.data(), 2)
  assert again.resumed_from == [1]
  assert small.state_of(again) == small.state_of(first)
  assert all(np.isfinite(v).all() for v in again.model.get_weights())


def test_rewind_goes_back_with_a_smaller_rate(tmp_path, capsys):
  guard = trainloop.Rewind(factor=1e-21, limit=1)
  loop = diverging(tmp_path / "a", on_nonfinite=guard)
  history = loop.fit(small.data(), 2)
  assert history.rows["step"].tolist() == list(range(STEPS))
  assert (history.rows["learning_rate"] == np.float32(1e20 * 1e-21)).all()
  assert np.isfinite(history.rows["loss"]).all()
  told = capsys.readouterr().out
  assert "back to step 0 with learning rates x 1e-21 (rewind 1 of 1)" in told
  steps, _ = workdirs.scalars(tmp_path / "a" / "train")["loss"]
  assert steps == list(range(STEPS))


def test_rewinds_are_counted_over_restarts(tmp_path, capsys):
  guard = trainloop.Rewind(factor=0.5, limit=2)
  for rewinds in (2, 0):
    loop = diverging(tmp_path, on_nonfinite=guard)
    with pytest.raises(trainloop.NonFiniteError, match="is not finite"):
      loop.fit(small.data(), 2)
    assert capsys.readouterr().out.count("back to step 0") == rewinds
    assert all(np.isfinite(v).all() for v in loop.model.get_weights())


def test_rewind_from_the_middle_with_a_dataset(tmp_path):
  """A poisoned batch that is good the second time: a run like the good one."""
  import tensorflow as tf

  bad = tf.Variable(True)
  x, y = small.arrays()

  def poison(i, batch):
    hit = tf.logical_and(bad.read_value(), i == 8)
    nan = tf.where(hit, np.float32(np.nan), np.float32(0))
    bad.assign(tf.logical_and(bad, ~hit))
    return batch[0] + nan, batch[1]

  data = tf.data.Dataset.from_tensor_slices((x, y)).batch(8)
  guard = trainloop.Rewind(factor=1.0)
  options = {
    "on_nonfinite": guard,
    "checkpoint_every": "5st",
    "compile": "graph",
    "steps_per_loop": 3,
  }
  loop = small.loop(small.model(rich=True), workdir=tmp_path / "bad", **options)
  rows = loop.fit(data.enumerate().map(poison), 2).rows
  want = small.loop(
    small.model(rich=True), workdir=tmp_path / "good", **options
  )
  want.fit(data, 2)
  assert rows["step"].tolist() == list(range(STEPS)) and not bad.numpy()
  assert small.state_of(loop) == small.state_of(want)


def test_weights_that_are_not_finite_are_never_saved(tmp_path):
  """An update with a finite gradient may still overflow the weights."""
  net = keras.Sequential([keras.layers.Input((1,)), keras.layers.Dense(1)])
  x = np.full((8, 1), 1e10, np.float32)
  data = trainloop.ArrayData(x, x[:, :1], batch_size=8)
  options = {"loss": "mae", "metrics": None, "compile": "graph"}

  def made():
    optimizer = keras.optimizers.SGD(1e38)
    return small.loop(net, optimizer, workdir=tmp_path, **options)

  with pytest.raises(trainloop.NonFiniteError, match="not finite"):
    made().fit(data, 5)
  assert not np.isfinite(net.get_weights()[0]).all()
  again = made()
  with pytest.raises(trainloop.NonFiniteError, match="not finite"):
    again.fit(data, 5)
  assert again.resumed_from == [0]


def test_a_validation_that_is_not_finite_is_told_and_never_better(capsys):
  valid = small.data(32, 16, seed=1)
  stopping = trainloop.EarlyStopping("val_loss", patience=2)
  loop = loop_of(stopping)
  loop.fit(small.data(), 1, validation=valid)
  assert loop.best["epoch"] == 1
  other = trainloop.ArrayData(np.ones((32, 8)), np.zeros(32), batch_size=16)
  other.arrays[0][:] = np.nan
  history = loop.fit(small.data(), 5, validation=other)
  # Judged anew, for it is on other data; and of NaN nothing is the best.
  assert loop.best == {} and history.stop_reason == "early_stopping"
  assert np.isnan(history.epochs["val_loss"]).tolist() == [True, True]
  told = capsys.readouterr().out
  assert told.count("not finite, never better: loss") == 2


def loop_of(stopping):
  """A loop without relu, which would hide NaN from the loss."""
  dense = keras.layers.Dense(3, activation="softmax")
  net = keras.Sequential([keras.layers.Input((8,)), dense])
  return small.loop(net, early_stopping=stopping, compile="graph")


def test_rewind_needs_checkpoints():
  with pytest.raises(ValueError, match="`workdir` must be given, because"):
    small.loop(on_nonfinite="rewind")


@pytest.mark.parametrize(
  "fields", [{"factor": 0}, {"factor": 2}, {"factor": np.nan}, {"limit": 0}]
)
def test_bad_rewinds(fields):
  with pytest.raises(ValueError, match=next(iter(fields))):
    trainloop.Rewind(**fields)
