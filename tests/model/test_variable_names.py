"""Names of tensors in a checkpoint: by path, the same in each process."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import trainloop
from trainloop.judging import judge
from trainloop.model import average, state, variable_names
from trainloop.model.coefficients import Coefficients
from trainloop.model.loss_scale import LossScale
from trainloop.model.snapshot import Snapshot

LAYERS = keras.layers


class Branches(LAYERS.Layer):
  """Layers, a list of layers, a weight without a name, a seed."""

  def __init__(self):
    super().__init__()
    self.first = LAYERS.Dense(8)
    self.rest = [LAYERS.Dense(8), LAYERS.Dense(8)]
    self.own = self.add_weight(shape=(8,))
    self.drop = LAYERS.Dropout(0.5)

  def call(self, x):
    outputs = [layer(x) for layer in (self.first, *self.rest)]
    return self.drop(sum(outputs)) + self.own


class Nested(keras.Model):
  def __init__(self):
    super().__init__()
    self.branches = [Branches(), Branches()]
    self.out = LAYERS.Dense(10)

  def call(self, x):
    return self.out(self.branches[1](self.branches[0](x)))


def sequential(names=(None, None)):
  layers = [LAYERS.Dense(8, name=name) for name in names]
  norm, drop = LAYERS.BatchNormalization(), LAYERS.Dropout(0.1)
  return keras.Sequential([LAYERS.Input((8,)), *layers, norm, drop,
                           LAYERS.Dense(10)])  # fmt: skip


def functional():
  inputs = keras.Input((8,))
  inner = keras.Sequential([LAYERS.Dense(8), LAYERS.Dense(8)])
  return keras.Model(inputs, LAYERS.Dense(10)(inner(inner(inputs))))


def recurrent():
  cells = [LAYERS.LSTM(4, return_sequences=True), LAYERS.LSTM(4)]
  rows = LAYERS.Reshape((2, 4))
  return keras.Sequential([rows, *cells, LAYERS.Dense(10)])


MODELS = {
  "sequential": sequential,
  "functional": functional,
  "nested": Nested,
  "recurrent": recurrent,
  # By hand as Keras counts them, so that its own numbers come before or after.
  "counted by hand": lambda: sequential(("dense_4", None)),
}
OPTIMIZERS = {
  "sgd": lambda: keras.optimizers.SGD(0.1, momentum=0.9),
  "adam": lambda: keras.optimizers.Adam(0.01, use_ema=True),
}


def groups(make, optimizer="sgd", metrics=None):
  """All that training moves, of a model and a state with all its parts."""
  net, made = make(), OPTIMIZERS[optimizer]()
  net(np.zeros((4, 8), np.float32))
  made.build(net.trainable_variables)
  metrics = [keras.metrics.Mean(), keras.metrics.Mean()] + (metrics or [])
  kept = judge.Judge(
    net.weights,
    trainloop.EarlyStopping("loss", restore="all"),
    trainloop.ReduceOnPlateau("loss", restore_best_first=True),
  )
  found = state.TrainState(kept, Coefficients({"beta_1": 1.0}), LossScale())
  found.average = average.of(made, net, 1)
  kept.prepare(lambda: [v.value for v in made.variables])
  counted = [v for one in metrics for v in one.variables]
  return variable_names.groups(net, [], made, counted, None, found)


def names(found):
  return {group: list(named) for group, named in found.items()}


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("name", MODELS)
def test_names_do_not_count_the_objects_of_a_process(name, optimizer):
  keras.backend.clear_session()  # counts from 0, as a new process
  first = groups(MODELS[name], optimizer)
  for other in (sequential, functional, Nested, recurrent):
    other()
  sequential(), sequential()
  again = groups(MODELS[name], optimizer)
  assert names(first) == names(again)
  shapes = Snapshot(first).shapes
  Snapshot(again).check(shapes)
  for group, named in first.items():
    assert len(named) == len({id(v) for v in named.values()}), group


def test_names_say_what_a_variable_is():
  found = names(groups(sequential, "adam"))
  assert found["model"][:3] == ["dense/kernel", "dense/bias", "dense_1/kernel"]
  assert "iteration" in found["optimizer"]
  assert "dense_1/kernel_velocity" in found["optimizer"]
  assert "seed_generator/seed_generator_state" in found["model"]
  assert found["metrics"] == [
    "mean/total", "mean/count", "mean/total:1", "mean/count:1"
  ]  # fmt: skip
  state = found["state"]
  assert {"clock/global_step", "judge/best_step", "loss_scale/good"} < set(
    state
  )
  assert state.index("judge/_best_weights/copies/2") < state.index(
    "judge/_best_weights/copies/10"
  )


def test_a_slot_has_its_weights_name_among_some_that_begin_alike():
  names_ = ("dense", "dense_kernel")  # with `kernel`: dense_kernel_kernel
  found = names(groups(lambda: sequential(names_)))["optimizer"]
  assert "dense/kernel_momentum" in found
  assert "dense_kernel/kernel_momentum" in found


def test_equal_paths_are_numbered_in_order():
  metric = keras.metrics.Mean("loss"), keras.metrics.Mean("loss")
  found = names(groups(sequential, metrics=list(metric)))["metrics"]
  assert found[-4:] == ["loss/total", "loss/count", "loss/total:1",
                        "loss/count:1"]  # fmt: skip


def test_all_variables_of_the_state_are_there_once():
  found = groups(sequential, "adam")["state"]
  holder = state.TrainState(
    judge.Judge([], trainloop.EarlyStopping("loss"), None),
    Coefficients({"beta_1": 1.0}),
    LossScale(),
  )
  named = variable_names.of_module(holder)
  assert sorted(map(id, named.values())) == sorted(map(id, holder.variables))
  assert set(named) < set(found)


class Counters(tf.Module):
  """Two counters of one shape, by any names, made in any order."""

  def __init__(self, *attributes):
    super().__init__()
    for i, name in enumerate(attributes):
      setattr(self, name, tf.Variable(i, dtype=tf.int64))


def test_attributes_in_another_order_keep_their_values():
  first = Snapshot({"state": variable_names.of_module(Counters("a", "b"))})
  module = Counters("b", "a")
  again = Snapshot({"state": variable_names.of_module(module)})
  again.check(first.shapes)
  again.put_back(first.take())
  assert (int(module.a), int(module.b)) == (0, 1)


OTHER_NAMES = {
  "a counter renamed": lambda: (
    {"state": variable_names.of_module(Counters("skipped", "steps"))},
    {"state": variable_names.of_module(Counters("skipped", "done"))},
    "`state` .* is skipped int64 .* and not done int64",
  ),
  "layers swapped": lambda: (
    groups(lambda: sequential(("left", "right"))),
    groups(lambda: sequential(("right", "left"))),
    r"`model` .* is left/kernel float32 \(8, 8\) and not right/kernel",
  ),
  "a layer renamed": lambda: (
    groups(lambda: sequential(("left", "right"))),
    groups(lambda: sequential(("left", "other"))),
    "`model` .* right/kernel .* and not other/kernel",
  ),
  "slots swapped": lambda: (
    {"optimizer": {"m": tf.Variable(1.0), "v": tf.Variable(2.0)}},
    {"optimizer": {"v": tf.Variable(2.0), "m": tf.Variable(1.0)}},
    "`optimizer` .* is m float32 .* and not v float32",
  ),
  "metrics renamed": lambda: (
    {"metrics": groups(sequential)["metrics"]},
    {"metrics": groups(
      sequential, metrics=[keras.metrics.Mean("other")])["metrics"]},
    "`metrics` .* which has 4 variables",
  ),
}  # fmt: skip


@pytest.mark.parametrize("case", OTHER_NAMES)
def test_tensors_of_one_shape_are_never_taken_for_each_other(case):
  first, other, match = OTHER_NAMES[case]()
  with pytest.raises(ValueError, match=match):
    Snapshot(other).check(Snapshot(first).shapes)
