"""Averages that the loop takes, against NumPy in float64; and what is refused.

What holds of all averages, whoever takes them, is in `test_average.py`.
"""

import keras
import numpy as np
import pytest

import kernels
import trainloop
from support import interruption, small
from trainloop.model.averaging import RunningAverage

PER_EPOCH, DECAY = 12, 0.6  # 96 examples by 8; warmed up at the 13th update
BAD = (2, 7)  # of each epoch: updates that are refused


def poisoned():
  """The small data in its order, with NaN in an example of some batches."""
  data = small.data(shuffle=False)
  for step in BAD:
    data.arrays[0][step * 8, 0] = np.nan
  return data


def make(average, **options):
  return small.loop(
    small.model(rich=True),
    average=average,
    on_nonfinite="skip",
    **{"compile": "graph", "steps_per_loop": 1, **options},
  )


def recorded(loop, data, epochs):
  """(history, weights before the first update and after each): one a window."""
  seen = [loop.model.get_weights()]
  with interruption.windows(
    after=lambda edge: seen.append(loop.model.get_weights())
  ):
    history = loop.fit(data, epochs, validation=small.validation())
  return history, seen


def by_numpy(history, seen, decay=DECAY, warmup=True):
  """Averages after each update, in float64; a refused one changes nothing."""
  a, n, found = [w.astype(np.float64) for w in seen[0]], 0, []
  for skipped, weights in zip(history.rows["skipped"], seen[1:], strict=True):
    if not skipped:
      d = min(decay, (1 + n) / (10 + n)) if warmup else decay
      a = [d * one + (1 - d) * w for one, w in zip(a, weights, strict=True)]
      n += 1
    found.append(a)
  return found, n


def judged(weights):
  """The loss of a model with these weights on the validation data."""
  net = small.model(rich=True)
  net.set_weights(weights)
  x, y = small.validation().arrays[:2]
  chances = net(x, training=False).numpy()[np.arange(len(y)), y]
  return -np.mean(np.log(chances.astype(np.float64)))


def same(found, want):
  for one, other in zip(found, want, strict=True):
    np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-7)


@pytest.fixture(scope="module", params=["graph", "xla"])
def followed(request):
  """A loop with an EMA after three epochs, its history and weights."""
  loop = make(
    trainloop.EMA(DECAY),
    compile=request.param,
    early_stopping=trainloop.EarlyStopping(patience=9),
  )
  return loop, *recorded(loop, poisoned(), 3)


def test_what_is_judged_is_a_model_with_the_averages_of_numpy(followed):
  _, history, seen = followed
  skipped = history.rows["skipped"].reshape(-1, PER_EPOCH)
  assert [np.flatnonzero(row).tolist() for row in skipped] == [list(BAD)] * 3
  averages, _ = by_numpy(history, seen)
  ends = averages[PER_EPOCH - 1 :: PER_EPOCH]
  want = [judged(average) for average in ends]
  np.testing.assert_allclose(history.epochs["val_loss"], want, rtol=1e-5)
  raw = judged(seen[PER_EPOCH])
  assert abs(raw - want[0]) > 1e-3  # the test says something


def test_the_best_averages_stay_and_statistics_are_averaged(followed):
  loop, history, seen = followed
  averages, n = by_numpy(history, seen)
  best = int(np.argmin(history.epochs["val_loss"]))
  left = loop.model.get_weights()
  same(left, averages[(best + 1) * PER_EPOCH - 1])
  moving = [i for i, w in enumerate(loop.model.weights) if "moving" in w.path]
  assert len(moving) == 2
  for i in moving:
    assert np.abs(left[i] - seen[(best + 1) * PER_EPOCH][i]).max() > 1e-4
  state = loop.trainee.state
  counts = [
    int(v.numpy()) for v in state.average.moved if v.dtype.name == "int64"
  ]
  assert counts == [n] == [len(seen) - 1 - 3 * len(BAD)]


@pytest.mark.parametrize("restore", ["weights", "all", "cycle_end"])
def test_the_next_fit_goes_on_from_the_raw_weights(restore):
  """Or from those, the averages and n of the best validation, byte for byte."""

  def new():
    stopping = trainloop.EarlyStopping(patience=9, restore=restore)
    schedule = kernels.CosineRestarts(0.1, 2 * PER_EPOCH)
    return make(
      trainloop.EMA(DECAY), early_stopping=stopping, schedule=schedule
    )

  two, data = new(), poisoned()
  history, seen = recorded(two, data, 3)
  averages, _ = by_numpy(history, seen)
  best = int(np.argmin(history.epochs["val_loss"]))
  if restore == "cycle_end":
    best = 1
  assert best < 2, "the test says something"
  same(two.model.get_weights(), averages[(best + 1) * PER_EPOCH - 1])
  more, again = recorded(two, data, 1)
  if restore != "all":
    whole = new().fit(data, 4, validation=small.validation())
    assert more.rows["loss"].tobytes() == whole.rows["loss"][36:].tobytes()
    assert more.epochs["val_loss"][0] == whole.epochs["val_loss"][3]
    return
  # The first update after it is refused only at BAD: weights are the raw ones.
  n = (best + 1) * (PER_EPOCH - len(BAD))
  a = averages[(best + 1) * PER_EPOCH - 1]
  for skipped, weights in zip(more.rows["skipped"], again[1:], strict=True):
    if not skipped:
      d = min(DECAY, (1 + n) / (10 + n))
      a = [d * one + (1 - d) * w for one, w in zip(a, weights, strict=True)]
      n += 1
  np.testing.assert_allclose(more.epochs["val_loss"], [judged(a)], rtol=1e-5)


@pytest.mark.parametrize("steps", [7, 100])
def test_the_window_does_not_matter(followed, steps):
  other, want, _ = followed
  loop = make(
    trainloop.EMA(DECAY),
    compile=other.engine.name,
    early_stopping=trainloop.EarlyStopping(patience=9),
    steps_per_loop=steps,
  )
  history = loop.fit(poisoned(), 3, validation=small.validation())
  assert str(history.epochs) == str(want.epochs)
  for found in (loop, other):
    found.trainee.state.average.go_on()
  assert small.state_of(loop) == small.state_of(other)
  moved = [found.trainee.state.average.moved for found in (loop, other)]
  assert small.digest(moved[0]) == small.digest(moved[1])


def test_training_does_not_see_the_averages():
  data, losses = poisoned(), []
  for average in (None, trainloop.EMA(DECAY, warmup=False)):
    loop = make(average, steps_per_loop=7)
    losses.append(loop.fit(data, 2).rows["loss"].tobytes())
  assert losses[0] == losses[1]


def test_averages_of_cycles_over_a_schedule_with_restarts():
  ends = (16, 32, 48)
  loop = make(
    trainloop.CycleAverage(),
    schedule=kernels.CosineRestarts(0.1, 16),
    steps_per_loop=5,
  )
  seen = {}
  with interruption.windows(
    after=lambda edge: seen.update({edge.done: loop.model.get_weights()})
  ):
    history = loop.fit(small.data(), 4, validation=small.validation())
  assert set(ends) < set(seen)  # a window ends there
  cycles = [seen[end] for end in ends]
  means = [
    [np.mean(np.float64(w), axis=0) for w in zip(*cycles[:k], strict=True)]
    for k in (1, 2, 3)
  ]
  want = [judged(one) for one in (seen[12], *means)]
  np.testing.assert_allclose(history.epochs["val_loss"], want, rtol=1e-5)
  same(loop.model.get_weights(), means[-1])


@pytest.mark.parametrize(
  "schedule", [kernels.Constant(0.1), kernels.CosineRestarts(0.1, 25)]
)
def test_a_fit_in_which_no_cycle_ends_has_no_average_of_cycles(schedule):
  loop = make(trainloop.CycleAverage(), schedule=schedule)
  rule = "`schedule` must be one of which a cycle ends within the run, to aver"
  with pytest.raises(ValueError, match=rule):
    loop.fit(small.data(), 2)
  assert loop.global_step == 0


def test_an_optimizer_that_averages_is_refused_beside_it():
  ema = keras.optimizers.SGD(0.1, use_ema=True)
  for average in (trainloop.EMA(), trainloop.CycleAverage()):
    with pytest.raises(ValueError, match="`average` must be None with `use_e"):
      small.loop(optimizer=ema, average=average)


def test_finer_and_coarser_weights_and_masks():
  """Averages of halves are float32; what has no mean stays as it is."""
  layer = keras.layers.Dense(1, dtype="bfloat16", kernel_initializer="ones")
  mask = layer.add_weight(
    shape=(1,),
    initializer=keras.initializers.Constant(-np.inf),
    trainable=False,
    dtype="float32",
  )
  net = keras.Sequential([keras.Input((2,)), layer])
  loop = small.loop(net, loss="mse", metrics=None, average=trainloop.EMA(0.5))
  x = np.ones((8, 2), np.float32)
  data = trainloop.ArrayData(x, x[:, :1] * 8, batch_size=4)
  history = loop.fit(data, 2, validation=data)
  assert np.isfinite(history.epochs["val_loss"]).all()
  kinds = {v.dtype.name for v in loop.trainee.state.average.moved}
  assert kinds == {"float32", "int64"}
  assert np.isneginf(mask.numpy()).all()


def test_a_weight_that_stands_still_has_an_average_that_does():
  weights = [keras.Variable(np.float32([0.1, 1e-30, -3.3e7])).value]
  before = weights[0].numpy()
  running = RunningAverage(trainloop.EMA(0.9), weights)
  for _ in range(20):
    running.move()
  assert running.values[0].numpy().tobytes() == before.tobytes()
  assert int(running.count.numpy()) == 20
