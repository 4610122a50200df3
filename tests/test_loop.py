"""What fit and evaluate do with models and data of all kinds."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import kernels
import trainloop
from support import small


def keras_evaluate(net, x, y, batch_size):
  return net.evaluate(x, y, batch_size=batch_size, verbose=0, return_dict=True)


@pytest.mark.parametrize("every", ["checkpoint_every", "validate_every"])
def test_a_fit_ends_where_it_should_whatever_is_due(tmp_path, every):
  """Neither 10 nor 7 steps divide the run's 24."""
  for steps in (7, 10):
    loop = small.loop(
      workdir=tmp_path / f"{steps}", compile="graph", **{every: f"{steps}st"}
    )
    history = loop.fit(small.data(), 2, validation=small.data(32, 16))
    assert loop.global_step == len(history.rows["step"]) == 24


def test_fit_twice_goes_on():
  loop = small.loop(schedule=kernels.Cosine(0.1, 48))
  data = small.data()  # 12 steps an epoch
  first = loop.fit(data, 2)
  second = loop.fit(data, 2)
  assert len(first.rows["step"]) == len(second.rows["step"]) == 24
  assert second.rows["step"].tolist() == list(range(24, 48))
  assert second.epochs["epoch"].tolist() == [3, 4]
  assert loop.traces == 1
  whole = small.loop(schedule=kernels.Cosine(0.1, 48))
  history = whole.fit(data, 4)
  for name, values in history.rows.items():
    parts = np.concatenate([first.rows[name], second.rows[name]])
    assert values.tobytes() == parts.tobytes(), name
  assert small.state_of(loop) == small.state_of(whole)


def test_a_new_schedule_starts_at_its_own_step_0():
  loop = small.loop(schedule=kernels.OneCycle(0.1, 12), compile="graph")
  data = small.data()
  loop.fit(data, 1)
  with pytest.raises(ValueError, match="`schedule` must be a schedule of at"):
    loop.fit(data, 1)
  again = kernels.OneCycle(0.05, 24)
  rows = loop.fit(data, 2, schedule=again).rows
  assert rows["step"].tolist() == list(range(12, 36))
  want = kernels.tabulate(again, 24)[0]
  assert rows["learning_rate"].tobytes() == want.tobytes()


def test_evaluate_weighs_the_partial_batch():
  x, y = small.arrays(50)
  loop = small.loop(compile="graph")
  found = loop.evaluate(trainloop.ArrayData(x, y, batch_size=16))
  want = keras_evaluate(loop.model, x, y, 50)
  assert found["loss"] == pytest.approx(want["loss"], rel=1e-6)
  assert found["accuracy"] == pytest.approx(want["accuracy"], rel=1e-6)
  shuffled = trainloop.ArrayData(x, y, batch_size=50, shuffle=True, seed=3)
  assert loop.evaluate(shuffled)["loss"] == pytest.approx(want["loss"])


def test_evaluate_leaves_training_as_it_is():
  loop, other = small.loop(validate_every="3st"), small.loop()
  data, valid = small.data(), small.data(32, 16)
  mine = loop.fit(data, 2, validation=valid).epochs["accuracy"]
  np.testing.assert_array_equal(mine, other.fit(data, 2).epochs["accuracy"])
  before = small.state_of(loop)
  loop.evaluate(valid)
  assert small.state_of(loop) == before


@pytest.mark.parametrize("engine", ["graph", "xla"])
@pytest.mark.parametrize(("drop", "steps"), [(True, 3), (False, 4)])
def test_the_last_partial_batch(drop, steps, engine):
  data = small.data(50, 16, drop_remainder=drop)
  loop = small.loop(schedule=kernels.Constant(0.1), compile=engine)
  history = loop.fit(data, 2)
  assert data.steps_per_epoch == steps
  assert len(history.rows["step"]) == 2 * steps
  # XLA compiles each shape of a batch.
  assert loop.traces == (2 if engine == "xla" and not drop else 1)


def test_the_partial_batch_is_a_mean_over_its_examples():
  x, y = small.arrays(5)
  data = trainloop.ArrayData(
    x, y, batch_size=4, shuffle=False, drop_remainder=False
  )
  net = small.model()
  sgd = keras.optimizers.SGD(0.0)
  rows = small.loop(net, sgd, compile="graph").fit(data, 1).rows
  want = keras_evaluate(net, x[4:], y[4:], 1)["loss"]
  assert rows["loss"][1] == pytest.approx(want, rel=1e-6)


@pytest.mark.parametrize("kind", ["known", "unknown", "endless", "generator"])
def test_a_dataset_trains_as_the_arrays_do(kind):
  x, y = small.arrays()
  arrays = trainloop.ArrayData(x, y, batch_size=8, shuffle=False)
  dataset = tf.data.Dataset.from_tensor_slices((x, y))
  steps = None
  if kind == "unknown":
    dataset = dataset.filter(lambda x, y: True)
  elif kind == "endless":
    dataset, steps = dataset.repeat(), 12
  elif kind == "generator":
    dataset = tf.data.Dataset.from_generator(
      lambda: zip(x, y, strict=True), output_signature=dataset.element_spec
    )
  dataset = dataset.batch(8)
  loop, other = small.loop(compile="graph"), small.loop(compile="graph")
  history = loop.fit(
    dataset, 2, steps_per_epoch=steps, validation=dataset.take(3)
  )
  want = other.fit(
    arrays, 2, validation=trainloop.ArrayData(x[:24], y[:24], batch_size=8)
  )
  assert history.rows["loss"].tobytes() == want.rows["loss"].tobytes()
  assert small.state_of(loop) == small.state_of(other)
  for name in want.epochs:
    np.testing.assert_array_equal(history.epochs[name], want.epochs[name])
  assert loop.traces == 1


def test_several_inputs_and_outputs():
  x, y = small.arrays()
  a = keras.layers.Input((8,), name="a")
  b = keras.layers.Input((8,), name="b")
  joined = keras.layers.Concatenate()([a, b])
  kind = keras.layers.Dense(3, activation="softmax", name="kind")(joined)
  size = keras.layers.Dense(1, name="size")(joined)
  net = keras.Model({"a": a, "b": b}, {"kind": kind, "size": size})
  losses = {"kind": "sparse_categorical_crossentropy", "size": "mse"}
  metrics = {"kind": ["accuracy"], "size": ["mae"]}
  targets = {"kind": y, "size": x[:, :1]}
  inputs = {"a": x, "b": x[::-1]}
  loop = small.loop(
    net, loss=losses, metrics=metrics, loss_weights={"kind": 1.0, "size": 0.5}
  )
  history = loop.fit(trainloop.ArrayData(inputs, targets, batch_size=8), 3)
  names = {"kind_accuracy", "size_mae", "kind_loss", "size_loss"}
  assert names <= set(history.epochs)
  assert history.epochs["loss"][-1] < history.epochs["loss"][0]
  found = loop.evaluate(trainloop.ArrayData(inputs, targets, batch_size=32))
  inputs["b"] = np.ascontiguousarray(inputs["b"])
  want = net.evaluate(
    inputs, targets, batch_size=96, verbose=0, return_dict=True
  )
  assert found["loss"] == pytest.approx(want["loss"], rel=1e-5)
  assert found["kind_loss"] == pytest.approx(want["kind_loss"], rel=1e-5)


@pytest.mark.parametrize("order", [("cls", "aux"), ("aux", "cls")])
@pytest.mark.parametrize("outputs", [dict, list])
def test_outputs_are_paired_by_name(order, outputs):
  keras.utils.set_random_seed(0)
  x, y = small.arrays()
  inside = keras.layers.Input((8,))
  heads = {
    "cls": keras.layers.Dense(3, activation="softmax", name="cls")(inside),
    "aux": keras.layers.Dense(1, name="aux")(inside),
  }
  heads = heads if outputs is dict else [heads["cls"], heads["aux"]]
  losses = {"cls": "sparse_categorical_crossentropy", "aux": "mse"}
  targets = {"cls": y, "aux": x[:, :1]}
  losses, targets = ({k: d[k] for k in order} for d in (losses, targets))
  loop = small.loop(
    keras.Model(inside, heads),
    keras.optimizers.SGD(0.01),
    loss=losses,
    metrics=None,
    compile="graph",
  )
  epochs = loop.fit(trainloop.ArrayData(x, targets, batch_size=8), 3).epochs
  assert epochs["loss"][-1] < epochs["loss"][0]
  for bad, match in (
    ({"cls": y + 1, "aux": x[:, :1]}, r"`y\['cls'\]` must be labels in \[0, 2"),
    ({"cls": y}, "`y` must be a dict with a target for the output 'aux'"),
  ):
    with pytest.raises(ValueError, match=match):
      small.loop(
        keras.Model(inside, heads), loss=losses, metrics=None, compile="graph"
      ).fit(trainloop.ArrayData(x, bad, batch_size=8), 1)


def test_an_ignored_class_may_be_out_of_range():
  x, y = small.arrays()
  y[::5] = -1
  loss = keras.losses.SparseCategoricalCrossentropy(ignore_class=-1)
  data = trainloop.ArrayData(x, y, batch_size=8)
  rows = small.loop(loss=loss, metrics=None, compile="graph").fit(data, 1).rows
  assert len(rows["loss"]) == 12 and (rows["loss"] > 0).all()


def test_a_vector_metric_has_a_name_a_class():
  x, y = small.arrays()
  net, hot = small.model(), np.eye(3)[y]
  loop = small.loop(
    net,
    loss="categorical_crossentropy",
    metrics=[keras.metrics.F1Score()],
    compile="graph",
  )
  names = loop.fit(trainloop.ArrayData(x, hot, batch_size=8), 1).epochs
  assert {"f1_score_0", "f1_score_1", "f1_score_2"} <= set(names)


def test_freezing_between_two_fits_is_refused():
  loop = small.loop(compile="graph")
  loop.fit(small.data(), 1)
  loop.model.layers[0].trainable = False
  with pytest.raises(ValueError, match="make a new TrainLoop to freeze"):
    loop.fit(small.data(), 1)


class Plain(keras.Model):
  """Subclassed, not built, and its call has no training argument."""

  def __init__(self):
    super().__init__()
    self.dense = keras.layers.Dense(3, activation="softmax")

  def call(self, x):
    return self.dense(x)


class OwnLoss(Plain):
  def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None):
    return keras.ops.mean(
      keras.losses.sparse_categorical_crossentropy(y, y_pred)
    )


@pytest.mark.parametrize("kind", [Plain, OwnLoss])
def test_subclassed_models(kind):
  keras.utils.set_random_seed(0)
  loss = None if kind is OwnLoss else "sparse_categorical_crossentropy"
  loop = small.loop(kind(), loss=loss)
  epochs = loop.fit(small.data(), 4).epochs
  assert epochs["loss"][-1] < epochs["loss"][0]


def test_regularisation_counts_and_frozen_layers_stay():
  l2 = {"kernel_regularizer": keras.regularizers.L2(0.1)}
  net = keras.Sequential(
    [
      keras.layers.Input((8,)),
      keras.layers.Dense(6, trainable=False, **l2),
      keras.layers.BatchNormalization(),
      keras.layers.Dense(3, activation="softmax", **l2),
    ]
  )
  frozen = small.digest(net.layers[0].variables)
  moved = small.digest(net.layers[1].non_trainable_variables)
  loop = small.loop(net)
  rows = loop.fit(small.data(), 1).rows
  assert small.digest(net.layers[0].variables) == frozen
  assert small.digest(net.layers[1].non_trainable_variables) != moved
  data = small.data(32, 16)
  plain = keras.losses.SparseCategoricalCrossentropy()
  x, y = data.arrays[:2]
  without = float(plain(y, net(x, training=False)))
  extra = float(keras.ops.sum(net.losses))
  assert extra > 0.1
  assert loop.evaluate(data)["loss"] == pytest.approx(without + extra, rel=1e-5)
  assert np.isfinite(rows["grad_norm"]).all()


def test_sample_weights_count():
  x, y = small.arrays(16)
  weight = np.linspace(0, 1, 16)
  net = small.model()
  data = trainloop.ArrayData(x, y, weight, batch_size=16, shuffle=False)
  loop = small.loop(net, keras.optimizers.SGD(0.0), compile="graph")
  loss = loop.fit(data, 1).rows["loss"][0]
  losses = keras.losses.sparse_categorical_crossentropy(y, net(x))
  assert loss == pytest.approx(float(np.mean(losses * weight)), rel=1e-5)


def test_grad_norm_is_that_of_the_gradient():
  x = np.array([[1, 1, 2], [1, 3, 3]])
  y = np.ones((2, 1))
  layers = [
    keras.layers.Input((3,), dtype="int32"),
    keras.layers.Embedding(4, 2),
    keras.layers.Flatten(),
    keras.layers.Dense(1, use_bias=False, kernel_initializer="ones"),
  ]
  net = keras.Sequential(layers)
  with tf.GradientTape() as tape:
    loss = tf.reduce_mean((net(x) - y) ** 2)
  found = tape.gradient(loss, net.trainable_variables)
  want = tf.linalg.global_norm([tf.convert_to_tensor(g) for g in found])
  loop = small.loop(net, loss="mse", metrics=None)
  data = trainloop.ArrayData(x, y, batch_size=2, shuffle=False)
  norm = loop.fit(data, 1).rows["grad_norm"][0]
  assert norm == pytest.approx(float(want), rel=1e-5)


def test_a_non_finite_update_is_not_applied():
  x, y = small.arrays(32)
  dataset = tf.data.Dataset.from_tensor_slices((x, y)).batch(8)
  poison = tf.constant([0, 0, np.nan, 0], tf.float32)
  bad = dataset.enumerate().map(lambda i, d: (d[0] + poison[i], d[1]))
  loop = small.loop(small.model(rich=True), steps_per_loop=4)
  other = small.loop(small.model(rich=True))
  with pytest.raises(trainloop.NonFiniteError, match="update 2 is not") as hit:
    loop.fit(bad, 1)
  other.fit(dataset.take(2), 1)
  assert hit.value.step == 2 == loop.global_step
  assert small.state_of(loop) == small.state_of(other)
  assert loop.history.rows["step"].tolist() == [0, 1]
  assert loop.history.rows["loss"].tobytes() == (
    other.history.rows["loss"].tobytes()
  )


def test_the_seed_makes_a_callable_model_repeat():
  def make():
    return keras.Sequential([keras.layers.Input((8,)), keras.layers.Dense(3)])

  hinge = {"loss": "sparse_categorical_crossentropy"}
  first = small.digest(small.loop(make, seed=1, **hinge).model.variables)
  again = small.digest(small.loop(make, seed=1, **hinge).model.variables)
  other = small.digest(small.loop(make, seed=2, **hinge).model.variables)
  assert first == again != other


def test_keras_saves_and_reloads_the_trained_model(tmp_path):
  loop = small.loop(compile="graph")
  loop.fit(small.data(), 2)
  path = tmp_path / "model.keras"
  loop.model.save(path)
  again = keras.models.load_model(path)
  x, y = small.arrays(20)
  np.testing.assert_array_equal(
    again.predict(x, verbose=0), loop.model.predict(x, verbose=0)
  )
  want = loop.evaluate(trainloop.ArrayData(x, y, batch_size=20))
  found = keras_evaluate(again, x, y, 20)
  assert found["loss"] == pytest.approx(want["loss"], rel=1e-5)
