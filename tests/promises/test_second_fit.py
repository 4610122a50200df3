"""Two fits of one loop on data of different kinds: the second is its own."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

import kernels
import trainloop
from support import small
from trainloop.data import staging

X, Y = small.arrays(64)
_NO_MB = 1e-6


def resident():
  return trainloop.ArrayData(X, Y, batch_size=16, shuffle=False)


def partial():
  options = {"shuffle": False, "drop_remainder": False}
  return trainloop.ArrayData(X[:50], Y[:50], batch_size=16, **options)


def fixed():
  whole = tf.data.Dataset.from_tensor_slices((X, Y))
  return whole.batch(16, drop_remainder=True)


def uneven():
  return tf.data.Dataset.from_tensor_slices((X[:50], Y[:50])).batch(16)


def sharded():
  def read(context):
    whole = tf.data.Dataset.from_tensor_slices((X, Y))
    return whole.batch(context.get_per_replica_batch_size(16))

  return trainloop.ShardedData(read, 4)


# What comes, and the engine that a loop which sees nothing else takes.
KINDS = {
  "resident": (resident, "xla"),
  "partial": (partial, "xla"),
  "fixed": (fixed, "xla"),
  "uneven": (uneven, "graph"),
  "sharded": (sharded, "graph"),
}
# Every kind after every other one: their number is a prime.
ORDER = [list(KINDS)[k * i % 5] for k in range(1, 5) for i in range(5)]
assert len(set(zip(ORDER, [*ORDER[1:], "resident"], strict=True))) == 20


def model():
  layers = [keras.Input((8,)), keras.layers.Dense(3, activation="softmax")]
  return keras.Sequential(layers)


def loop(**options):
  optimizer = keras.optimizers.SGD(0.1, momentum=0.9)
  return small.loop(model, optimizer, **options)


def state(made):
  return {
    "weights": [w.numpy() for w in made.model.weights],
    "slots": [v.numpy() for v in made.optimizer.variables],
  }


def put(made, values):
  for v, value in zip(made.model.weights, values["weights"], strict=True):
    v.assign(value)
  for v, value in zip(made.optimizer.variables, values["slots"], strict=True):
    v.assign(value)


def test_each_fit_is_that_of_a_loop_that_saw_no_other_kind():
  made = loop()
  others = {kind: loop() for kind in KINDS}
  schedule = kernels.Linear(0.2, 0.1, 8)
  for first, second in zip([None, *ORDER], [*ORDER, "resident"], strict=True):
    make, engine = KINDS[second]
    other = others[second]
    if first is not None:
      if not other.global_step:
        other.fit(make(), 1)  # makes its slots
      put(other, state(made))
    found, want = (
      one.fit(make(), 1, validation=make(), schedule=schedule)
      for one in (made, other)
    )
    assert made.engine.name == engine
    told = f"{second} after {first}"
    assert small.state_of(made) == small.state_of(other), told
    for name in ("learning_rate", "momentum", "loss", "grad_norm"):
      assert found.rows[name].tobytes() == want.rows[name].tobytes(), told
    for name in ("loss", "accuracy", "val_loss", "val_accuracy"):
      assert found.epochs[name].tobytes() == want.epochs[name].tobytes(), told
  # Of "partial" an epoch's last batch has a shape of its own.
  assert made.traces == 6, "each kind is traced once, also as it returns"


def test_evaluation_and_sweep_of_each_kind_after_the_other():
  made, values, losses = loop(), {}, {}
  for kind in ("uneven", "resident", "sharded", "fixed", "partial"):
    source = KINDS[kind][0]
    values[kind] = made.evaluate(source())
    losses[kind] = trainloop.sweep_learning_rate(made, source(), steps=6).losses
    assert made.engine.name == KINDS[kind][1]
    assert len(losses[kind]) == 6
  assert made.global_step == 0
  for kind in ("fixed", "sharded"):
    assert values[kind] == pytest.approx(values["resident"], rel=1e-6)
  assert values["partial"] == pytest.approx(values["uneven"], rel=1e-6)
  np.testing.assert_allclose(losses["fixed"], losses["sharded"], rtol=1e-5)


def test_the_line_of_each_fit_names_its_engine(capsys):
  made = loop(verbose=True)
  for make in (fixed, uneven, resident):
    made.fit(make(), 1)
  said = capsys.readouterr().out.splitlines()
  lines = [line.split()[1] for line in said if line.startswith("engine")]
  assert lines == ["xla,", "graph,", "xla,"]


@pytest.mark.parametrize("make", [uneven, sharded])
def test_what_xla_was_asked_for_and_cannot_do_is_one_line(make):
  made = loop(compile="xla")
  made.fit(resident(), 1)
  with pytest.raises(ValueError, match="`compile` must be 'graph' or 'auto'"):
    made.fit(make(), 1)
  made.evaluate(make())
  assert made.fit(resident(), 1).stop_reason == "completed"


@pytest.fixture(scope="module")
def resident_and_streaming():
  """A function: engine -> a loop that holds its data, and one that streams."""

  @functools.cache
  def loops(compile):
    limits = {"resident_mb": _NO_MB, "staging_mb": 0.007}
    return loop(compile=compile), loop(compile=compile, **limits)

  return loops


@pytest.mark.parametrize("compile", ["graph", "xla"])
@pytest.mark.parametrize("examples", [50, 9])
def test_a_sweep_over_validation_that_streams_is_the_one_that_does_not(
  resident_and_streaming, compile, examples
):
  found = []
  for made in resident_and_streaming(compile):
    valid = trainloop.ArrayData(X[:examples], Y[:examples], batch_size=10)
    swept = trainloop.sweep_learning_rate(
      made, resident(), steps=16, on="validation", validation=valid
    )
    found.append(swept.losses.tobytes())
  assert found[0] == found[1]
  assert staging.Memory(staging_mb=0.007).steps(valid.batch_bytes) < 16
