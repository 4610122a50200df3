"""Two replicas on one machine: the same run as one device."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import kernels
import trainloop
from support import composite_tensors as composite
from support import small, workdirs

OPTIMIZERS = {
  "sgd": lambda: keras.optimizers.SGD(nesterov=True),
  "adam": lambda: keras.optimizers.Adam(clipnorm=0.5),
  "adamw exact": lambda: keras.optimizers.AdamW(weight_decay=0.1),
}


@pytest.fixture
def strategy(two_replicas):
  return two_replicas


def train(strategy, optimizer):
  loop = small.loop(
    small.model,
    OPTIMIZERS[optimizer],
    strategy=strategy,
    schedule=kernels.OneCycle(0.05, 39),
    steps_per_loop=5,
    bias_correction="exact" if "exact" in optimizer else "keras",
  )
  # 13 steps of 8, and the last one of 4; 33 do not halve either.
  data = small.data(100, 8, drop_remainder=False)
  return loop, loop.fit(data, 3, validation=small.data(33, 16))


@pytest.mark.parametrize("optimizer", sorted(OPTIMIZERS))
def test_two_replicas_train_as_one_device(strategy, optimizer):
  loop, history = train(strategy, optimizer)
  _, want = train(None, optimizer)
  for name in ("learning_rate", "momentum"):
    assert history.rows[name].tobytes() == want.rows[name].tobytes()
  for name in ("loss", "grad_norm"):
    np.testing.assert_allclose(history.rows[name], want.rows[name], rtol=1e-4)
  for name, values in want.epochs.items():
    np.testing.assert_allclose(history.epochs[name], values, rtol=1e-5)
  for variable in loop.model.trainable_variables:
    one, two = (v.numpy() for v in variable.value.values)
    assert one.tobytes() == two.tobytes()
  assert loop.traces == 1
  assert "_all_reduce_sum_gradients" not in vars(loop.optimizer)


def test_a_step_of_ones_own_counts_every_example_alike(strategy):
  def step(model, x, y, training):
    found = model(x, training=training)
    loss = keras.losses.sparse_categorical_crossentropy(y, found)
    return {"loss": loss, "square": tf.square(loss)}

  data, found = small.data(100, 8, drop_remainder=False), []
  for where in (strategy, None):
    loop = small.loop(
      small.model,
      OPTIMIZERS["sgd"],
      strategy=where,
      loss=None,
      metrics=None,
      step=step,
    )
    found.append(loop.fit(data, 2, validation=small.data(33, 16)))
  for name in ("loss", "grad_norm"):
    ours, wanted = (one.rows[name] for one in found)
    np.testing.assert_allclose(ours, wanted, rtol=1e-4)
  for name, values in found[1].epochs.items():
    np.testing.assert_allclose(found[0].epochs[name], values, rtol=1e-5)


def test_objects_made_outside_are_refused(strategy):
  with pytest.raises(ValueError, match="`model` must be made under the scope"):
    small.loop(small.model(), OPTIMIZERS["sgd"], strategy=strategy).fit(
      small.data(), 1
    )


def test_keras_still_sums_where_it_is_held_off():
  """`_all_reduce_sum_gradients` is private: this notices when it moves."""
  assert callable(keras.optimizers.SGD()._all_reduce_sum_gradients)


@pytest.mark.parametrize("rich", [False, True])
def test_each_replica_splits_its_share(strategy, rich):
  def train(strategy, accumulate):
    loop = small.loop(
      lambda: small.model(rich=rich),
      OPTIMIZERS["adam"],
      strategy=strategy,
      accumulate=accumulate,
      schedule=kernels.OneCycle(0.05, 39),
    )
    data = small.data(100, 16, drop_remainder=False)
    return loop, loop.fit(data, 3)

  loop, history = train(strategy, 4)
  assert loop.traces == 1
  for variable in loop.model.variables[:-1]:
    one, two = (v.numpy() for v in variable.value.values)
    assert one.tobytes() == two.tobytes()
  if rich:  # statistics and masks are those of micro-batches
    assert np.isfinite(history.rows["loss"]).all()
    return
  _, want = train(None, 1)
  for name in ("loss", "grad_norm"):
    np.testing.assert_allclose(history.rows[name], want.rows[name], rtol=1e-4)
  for name, values in want.epochs.items():
    np.testing.assert_allclose(history.epochs[name], values, rtol=1e-5)


def test_micro_batches_that_do_not_divide_are_refused(strategy):
  loop = small.loop(
    small.model, OPTIMIZERS["adam"], strategy=strategy, accumulate=4
  )
  rule = "a multiple of `accumulate` = 4 times 2 replicas; got 12"
  with pytest.raises(ValueError, match=rule):
    loop.fit(small.data(batch_size=12), 1)


def test_synchronized_statistics_are_refused_in_micro_batches(strategy):
  def model():
    norm = keras.layers.BatchNormalization(synchronized=True)
    return keras.Sequential([small.model(), norm, keras.layers.Dense(3)])

  loop = small.loop(model, OPTIMIZERS["adam"], strategy=strategy, accumulate=2)
  with pytest.raises(ValueError, match="synchronized` must be False where"):
    loop.fit(small.data(), 1)


def test_float16_on_two_replicas(strategy):
  data = small.data(batch_size=16)
  data.arrays[0][:40] *= 40
  loop = small.loop(
    lambda: small.model(rich=True),
    OPTIMIZERS["adam"],
    strategy=strategy,
    mixed_precision="float16",
    schedule=kernels.OneCycle(0.01, 30),
  )
  skipped = loop.fit(data, 5).rows["skipped"].sum()
  assert 0 < skipped < 15
  scale = float(loop.trainee.state.loss_scale.value.numpy())
  assert scale == 2.0 ** (15 - skipped)
  for variable in loop.model.trainable_variables:
    one, two = (v.numpy() for v in variable.value.values)
    assert one.tobytes() == two.tobytes()


def test_histograms_of_two_replicas_are_those_of_one_device(strategy, tmp_path):
  found = []
  for name, several in (("two", strategy), ("one", None)):
    loop = small.loop(
      small.model,
      lambda: keras.optimizers.SGD(0.1),
      strategy=several,
      schedule=kernels.Constant(0.1),
      workdir=tmp_path / name,
      compile="graph",
      histograms_every="1ep",
    )
    loop.fit(small.data(), 1)
    found.append(workdirs.histograms(tmp_path / name / "train"))
  assert len(found[0]) == 8
  # The same order, but Keras counts layers in their names.
  for two, one in zip(*(tables.values() for tables in found), strict=True):
    assert list(two) == list(one) == [11]
    assert two[11][:, 2].sum() == one[11][:, 2].sum() > 0
    np.testing.assert_allclose(two[11][:, :2], one[11][:, :2], atol=1e-6)


@pytest.mark.parametrize("name", ["ragged", "sparse"])
def test_replicas_take_shares_of_ragged_and_sparse_tensors(strategy, name):
  net, make = composite.CASES[name]
  data = composite.data_of(make).take(2)
  alone = composite.loop_of(net)
  alone.fit(data, 2)
  shared = composite.loop_of(net, strategy)
  shared.fit(data, 2, validation=data)
  for mine, theirs in zip(
    shared.model.weights, alone.model.weights, strict=True
  ):
    np.testing.assert_allclose(mine.numpy(), theirs.numpy(), rtol=1e-5)


def test_an_id_out_of_range_in_one_replica_stops_all(strategy):
  def model():
    layers = [
      keras.layers.Input((3,), dtype="int32"),
      keras.layers.Embedding(20, 2),
      keras.layers.Flatten(),
      keras.layers.Dense(3, activation="softmax"),
    ]
    return keras.Sequential(layers)

  x = np.random.default_rng(0).integers(0, 20, (32, 3))
  x[22, 1] = 21  # the second replica's share of the third batch
  y = np.arange(32) % 3
  loop = small.loop(model, OPTIMIZERS["sgd"], strategy=strategy)
  data = tf.data.Dataset.from_tensor_slices((x, y)).batch(8)
  with pytest.raises(trainloop.ValueRangeError) as caught:
    loop.fit(data, 1)
  assert (caught.value.step, caught.value.value) == (2, 21)
  with pytest.raises(trainloop.ValueRangeError) as caught:
    loop.evaluate(data)
  assert (caught.value.batch, caught.value.value) == (2, 21)


def test_groups_and_kernels_of_two_replicas_are_those_of_one_device(strategy):
  groups = {
    "dense/.*": trainloop.Group(lr=0.5, weight_decay=0.0),
    "dense_1/bias": trainloop.Group(
      lr=kernels.PiecewiseConstant([9], [0.0, 2.0])
    ),
  }

  def run(strategy):
    loop = small.loop(
      small.model,
      lambda: keras.optimizers.AdamW(0.1),
      strategy=strategy,
      schedule=kernels.OneCycle(0.05, 24, momentum=None),
      schedules={
        "weight_decay": kernels.Cosine(0.04, 24, 0.4),
        "clipnorm": kernels.Linear(1.0, 0.1, 24),
      },
      groups=groups,
      steps_per_loop=5,
    )
    return loop, loop.fit(small.data(), 2)

  loop, history = run(strategy)
  one, want = run(None)
  for name in (
    "weight_decay",
    "clipnorm",
    *loop.trainee.binding.layout.further,
  ):
    assert history.rows[name].tobytes() == want.rows[name].tobytes()
  pairs = zip(loop.model.get_weights(), one.model.get_weights(), strict=True)
  for mine, theirs in pairs:
    np.testing.assert_allclose(mine, theirs, rtol=1e-3, atol=1e-5)
  for variable in loop.model.trainable_variables:
    first, second = (v.numpy() for v in variable.value.values)
    assert first.tobytes() == second.tobytes()


def test_averages_of_two_replicas_are_those_of_one_device(strategy):
  def run(strategy):
    loop = small.loop(
      small.model,
      lambda: keras.optimizers.Adam(0.01),
      strategy=strategy,
      average=trainloop.EMA(0.9),
      steps_per_loop=5,
    )
    return loop, loop.fit(small.data(), 2, validation=small.validation())

  loop, history = run(strategy)
  one, want = run(None)
  for name, values in want.epochs.items():
    np.testing.assert_allclose(history.epochs[name], values, rtol=1e-5)
  pairs = zip(loop.model.get_weights(), one.model.get_weights(), strict=True)
  for mine, theirs in pairs:
    np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-6)
