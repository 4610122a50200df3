"""Moving statistics computed anew, against NumPy; where they go."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import kernels
import trainloop
from support import interruption, small

CYCLE = 12  # updates of an epoch of 100 examples by 8, which leaves 4 out


def make(net=None, recompute="statistics", **options):
  options = {
    "average": trainloop.CycleAverage(recompute=recompute),
    "schedule": kernels.CosineRestarts(0.2, CYCLE),
    "compile": "graph",
    **options,
  }
  return small.loop(small.model(rich=True) if net is None else net, **options)


def data(**options):
  return small.data(100, **{"shuffle": False, **options})


def by_numpy(weights, x):
  """(mean, variance) of the small model's hidden units: of all batches'
  own, by their examples."""
  hidden = np.maximum(x @ weights[0] + weights[1], 0)
  parts = [hidden[i : i + 8] for i in range(0, len(x), 8)]
  sums = [[len(p) * p.mean(0), len(p) * p.var(0)] for p in parts]
  return np.sum(sums, axis=0) / len(x)


@pytest.mark.parametrize("engine", ["graph", "xla"])
def test_they_are_those_of_the_averaged_weights(engine):
  loop = make(compile=engine)
  loop.fit(data(), 3, validation=small.validation())
  plain = make(recompute=None, compile=engine)
  plain.fit(data(), 3, validation=small.validation())
  left, other = loop.model.get_weights(), plain.model.get_weights()
  moving = [i for i, w in enumerate(loop.model.weights) if "moving" in w.path]
  x = small.arrays(100)[0].astype(np.float64)
  want = by_numpy([w.astype(np.float64) for w in left], x)
  for i, value in zip(moving, want, strict=True):
    np.testing.assert_allclose(left[i], value, rtol=1e-4, atol=1e-6)
    assert np.abs(other[i] - value).max() > 1e-3  # the test says something
  # And nothing else moves: seeds, metrics, raw weights, what comes after.
  rest = [i for i in range(len(left)) if i not in moving]
  for i in rest:
    assert left[i].tobytes() == other[i].tobytes()
  more = loop.fit(data(), 1).rows["loss"]
  assert more.tobytes() == plain.fit(data(), 1).rows["loss"].tobytes()


def test_what_is_judged_has_them():
  loop = make()
  history = loop.fit(data(), 2, validation=small.validation())
  measured = loop.evaluate(small.validation())
  assert measured["loss"] == history.epochs["val_loss"][-1]


def dataset():
  x, y = small.arrays()
  own = tf.data.Dataset.from_tensor_slices((x, y)).shuffle(100, seed=3)
  return own.batch(8)


def test_data_whose_order_is_drawn_anew_are_refused():
  with pytest.raises(ValueError, match="`data` must be a trainloop"):
    make().fit(dataset(), 2)


def test_a_run_cut_anywhere_goes_on_byte_for_byte(tmp_path):
  def run(name):
    loop = make(
      steps_per_loop=4,
      checkpoint_every="4st",
      early_stopping=trainloop.EarlyStopping(patience=9),
      workdir=tmp_path / name,
    )
    loop.fit(data(shuffle=True), 3, validation=small.validation())
    return small.state_of(loop)

  whole = run("whole")
  for count in (4, 6):
    interruption.cut_before(count, lambda count=count: run(f"cut{count}"))
    assert run(f"cut{count}") == whole


def synchronized():
  keras.utils.set_random_seed(0)
  return keras.Sequential(
    [
      keras.layers.Input((8,)),
      keras.layers.Dense(6),
      keras.layers.BatchNormalization(synchronized=True),
      keras.layers.Dense(3, activation="softmax"),
    ]
  )


def test_two_replicas_are_as_one(two_replicas):
  results = []
  for strategy in (None, two_replicas):
    loop = make(
      synchronized,
      optimizer=lambda: keras.optimizers.SGD(0.1),
      strategy=strategy,
    )
    loop.fit(data(), 2)
    results.append(loop.model.get_weights())
  for one, other in zip(*results, strict=True):
    np.testing.assert_allclose(one, other, rtol=2e-3, atol=1e-4)


def test_a_model_without_them_is_refused(tmp_path):
  loop = make(small.model(), workdir=tmp_path / "run")
  with pytest.raises(ValueError, match="without BatchNormalization"):
    loop.fit(data(), 2)
  assert not (tmp_path / "run").exists()
