"""Two replicas on one machine: the same run as one device."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import kernels
import small

OPTIMIZERS = {
  "sgd": lambda: keras.optimizers.SGD(nesterov=True),
  "adam": lambda: keras.optimizers.Adam(clipnorm=0.5),
  "adamw exact": lambda: keras.optimizers.AdamW(weight_decay=0.1),
}


@pytest.fixture(scope="module")
def strategy():
  """One MirroredStrategy a process: a second one fails."""
  devices = [d.name for d in tf.config.list_logical_devices("CPU")[:2]]
  return tf.distribute.MirroredStrategy(devices)


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


def test_objects_made_outside_are_refused(strategy):
  with pytest.raises(ValueError, match="`model` must be made under the scope"):
    small.loop(small.model(), OPTIMIZERS["sgd"], strategy=strategy).fit(
      small.data(), 1
    )


def test_keras_still_sums_where_it_is_held_off():
  """`_all_reduce_sum_gradients` is private: this notices when it moves."""
  assert callable(keras.optimizers.SGD()._all_reduce_sum_gradients)
