"""A `step` of a user's own: losses that are not loss(y, f(x))."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import trainloop
from support import small


def crossentropy(model, x, y, training):
  """What "sparse_categorical_crossentropy" is."""
  found = model(x, training=training)
  return keras.losses.sparse_categorical_crossentropy(y, found)


@keras.saving.register_keras_serializable("tests")
class Draw(keras.layers.Layer):
  """A point near a mean; its noise is a state that a checkpoint holds."""

  def __init__(self, **options):
    super().__init__(**options)
    self.seeds = keras.random.SeedGenerator(3)

  def call(self, inputs, training=False):
    mean, log_var = inputs
    if not training:
      return mean
    noise = keras.random.normal(keras.ops.shape(mean), seed=self.seeds)
    return mean + keras.ops.exp(0.5 * log_var) * noise


def autoencoder():
  """A variational autoencoder of 8 numbers: to [decoded, mean, log_var]."""
  keras.utils.set_random_seed(1)
  inside = keras.layers.Input((8,))
  hidden = keras.layers.Dense(6, activation="tanh")(inside)
  mean = keras.layers.Dense(2)(hidden)
  log_var = keras.layers.Dense(2)(hidden)
  point = Draw()([mean, log_var])
  return keras.Model(inside, [keras.layers.Dense(8)(point), mean, log_var])


def vae(model, x, y, training):
  """Reconstruction error plus Kullback-Leibler divergence."""
  del y
  decoded, mean, log_var = model(x, training=training)
  error = tf.reduce_sum(tf.square(decoded - x), axis=1)
  kl = tf.exp(log_var) + tf.square(mean) - 1.0 - log_var
  kl = 0.5 * tf.reduce_sum(kl, axis=1)
  return {"loss": error + 0.1 * kl, "error": error, "kl": kl}


def pairs(model, x, y, training):
  """InfoNCE: each example must find its other view in the batch."""
  del y
  first = keras.ops.normalize(model(x["first"], training=training))
  second = keras.ops.normalize(model(x["second"], training=training))
  scores = tf.matmul(first, second, transpose_b=True) / 0.2
  own = tf.range(tf.shape(scores)[0])
  return tf.nn.sparse_softmax_cross_entropy_with_logits(own, scores)


def make(step, net, **options):
  optimizer = keras.optimizers.Adam(0.01)
  return small.loop(
    net, optimizer, loss=None, metrics=None, step=step, **options
  )


@pytest.mark.parametrize("engine", ["xla", "graph"])
def test_the_same_loss_gives_the_same_bits(engine):
  keras.utils.set_random_seed(0)

  def net():
    net = small.model(rich=True)
    net.layers[0].kernel_regularizer = keras.regularizers.L2(0.01)
    return net

  x, y = small.arrays()
  weight = np.linspace(0, 2, 96).astype(np.float32)
  data = trainloop.ArrayData(x, y, weight, batch_size=20)
  options = {"compile": engine}
  plain = small.loop(
    net(), keras.optimizers.Adam(0.01), metrics=None, **options
  )
  custom = make(crossentropy, net(), **options)
  found = [loop.fit(data, 3, validation=data) for loop in (custom, plain)]
  for part in ("rows", "epochs"):
    ours, theirs = (getattr(one, part) for one in found)
    assert list(ours) == list(theirs)
    for name, column in theirs.items():
      if engine == "graph":
        assert ours[name].tobytes() == column.tobytes(), name
      # XLA makes another program of it, which may round otherwise.
      np.testing.assert_allclose(ours[name], column, rtol=1e-5)
  if engine == "graph":
    assert small.state_of(custom) == small.state_of(plain)


def test_a_variational_autoencoder(tmp_path):
  x = small.arrays()[0]
  data = trainloop.ArrayData(x, batch_size=20, seed=1)
  whole = make(vae, autoencoder(), steps_per_loop=7)
  history = whole.fit(data, 4, validation=data)
  epochs = history.epochs
  names = ["loss", "error", "kl"]
  assert list(epochs) == ["epoch", *names, *(f"val_{name}" for name in names)]
  np.testing.assert_allclose(
    epochs["loss"], epochs["error"] + 0.1 * epochs["kl"], rtol=1e-5
  )
  assert epochs["val_loss"][-1] < epochs["val_loss"][0]
  decoded, mean, log_var = whole.model(x, training=False)
  want = vae(lambda x, training: (decoded, mean, log_var), x, None, False)
  found = whole.evaluate(data)
  for name in names:
    assert found[name] == pytest.approx(float(np.mean(want[name])), rel=1e-5)

  def part(told):
    if told["step"] == 11:
      loop.stop()

  # Other windows, and a stop in an epoch's middle: the same to the bit.
  loop = make(vae, autoencoder(), steps_per_loop=1, workdir=tmp_path,
              on_window=part)  # fmt: skip
  loop.fit(data, 4, validation=data)
  assert 11 <= loop.global_step < 20
  loop = make(vae, autoencoder(), steps_per_loop=3, workdir=tmp_path)
  again = loop.fit(data, 4, validation=data)
  assert small.state_of(loop) == small.state_of(whole)
  for part in ("rows", "epochs"):
    for name, column in getattr(history, part).items():
      assert getattr(again, part)[name].tobytes() == column.tobytes(), name


def test_two_views_of_an_example():
  x = small.arrays()[0]
  rng = np.random.default_rng(0)
  views = {
    name: x + rng.normal(scale=0.1, size=x.shape).astype(np.float32)
    for name in ("first", "second")
  }
  keras.utils.set_random_seed(0)
  net = keras.Sequential([keras.layers.Input((8,)), keras.layers.Dense(4)])
  data = trainloop.ArrayData(views, batch_size=24)
  loop = make(pairs, net)
  epochs = loop.fit(data, 8).epochs
  assert epochs["loss"][-1] < 0.9 * epochs["loss"][0]


def test_micro_batches_give_the_same_update():
  found = []
  for parts in (1, 4):
    data = small.data(batch_size=24)
    loop = make(crossentropy, small.model(), accumulate=parts)
    found.append(loop.fit(data, 2))
  for name in ("loss", "grad_norm"):
    np.testing.assert_allclose(
      found[0].rows[name], found[1].rows[name], rtol=1e-4
    )
  np.testing.assert_allclose(*(one.epochs["loss"] for one in found), rtol=1e-5)


def test_low_precision_losses_are_float32():
  def net():
    return keras.Sequential(
      [keras.layers.Input((8,)), keras.layers.Dense(3, activation="softmax")]
    )

  loop = make(
    lambda m, x, y, training: tf.reduce_sum(m(x, training=training) ** 2, 1),
    net,
    mixed_precision="bfloat16",
  )
  assert loop.fit(small.data(), 1).rows["loss"].dtype == np.float32
  assert loop.model.layers[-1].compute_dtype == "bfloat16"


def given(value):
  return lambda model, x, y, training: value(model(x, training=training), y)


@pytest.mark.parametrize(
  ("step", "told"),
  [
    (given(lambda f, y: tf.reduce_mean(f)), r"'loss'\]` must be of shape \(8,"),
    (given(lambda f, y: f), r"a value an example; got \(8, 3\)"),
    (given(lambda f, y: {"kl": f[:, 0]}), r"with the key 'loss'; got \['kl'\]"),
    (given(lambda f, y: {"loss": f[:, 0], "a": 1.0}), "gives {name: tensor}"),
    (given(lambda f, y: y), r"must be of a float dtype; got 'int64'"),
    (
      given(lambda f, y: tf.cast(y, tf.float32)),
      "a loss that the model's weights change",
    ),
    ("mse", "must be a function of"),
  ],
)
def test_what_a_step_must_not_give(step, told, tmp_path):
  with pytest.raises(ValueError, match=told) as caught:
    make(step, small.model(), workdir=tmp_path / "new").fit(small.data(), 1)
  assert "\n" not in str(caught.value)
  assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
  "beside", [{"loss": "mse"}, {"weighted_metrics": []}, {"loss_weights": [1.0]}]
)
def test_nothing_is_ignored_beside_a_step(beside):
  options = {"loss": None, "metrics": None, **beside}
  (name,) = beside
  with pytest.raises(ValueError, match=f"`{name}` must be None with a `step`"):
    small.loop(step=crossentropy, **options)


@pytest.mark.parametrize("engine", ["xla", "graph"])
def test_a_loss_that_fits_the_first_examples_only(engine):
  """It is tried on two of them; the batches have eight."""
  step = given(
    lambda f, y: keras.losses.sparse_categorical_crossentropy(y, f)[:2]
  )
  loop = make(step, small.model(), compile=engine)
  with pytest.raises((ValueError, tf.errors.InvalidArgumentError)) as caught:
    loop.fit(small.data(), 1)
  assert "a value an example" in str(caught.value)


@pytest.mark.parametrize("name", ["", "epoch", "val_x", "a/b", "grad_norm"])
def test_names_that_are_taken(name):
  step = given(
    lambda f, y: {
      "loss": keras.losses.sparse_categorical_crossentropy(y, f),
      name: f[:, 0],
    }
  )
  with pytest.raises(ValueError, match=r"`step\(\) name` must be none of"):
    make(step, small.model()).fit(small.data(), 1)


def with_outputs(model, x, y, training):
  found = model(x, training=training)
  return {
    "loss": keras.losses.sparse_categorical_crossentropy(y, found),
    "chances": found,
    "largest": tf.reduce_max(found),
  }


@pytest.mark.parametrize("engine", ["xla", "graph"])
def test_metrics_of_its_outputs_and_values_of_a_batch(engine):
  """Equal to Keras' own on the whole, and to means by examples."""
  metrics = {
    "chances": [
      keras.metrics.SparseCategoricalAccuracy(name="right"),
      keras.metrics.SparseTopKCategoricalAccuracy(2, name="near"),
    ]
  }
  net = small.model()
  loop = small.loop(
    net,
    keras.optimizers.Adam(0.01),
    loss=None,
    metrics=metrics,
    step=with_outputs,
    compile=engine,
    early_stopping=trainloop.EarlyStopping("val_right", patience=9),
  )
  held = trainloop.ArrayData(*small.arrays(42, seed=1), batch_size=16)
  history = loop.fit(small.data(), 2, validation=held)
  x, y = held.arrays[:2]
  chances = net(x).numpy()
  best = int(np.argmax(history.epochs["val_right"]))
  right = np.mean(chances.argmax(1) == y)
  assert history.epochs["val_right"][best] == pytest.approx(right)
  near = np.mean((np.argsort(chances)[:, -2:] == y[:, None]).any(1))
  assert history.epochs["val_near"][best] == pytest.approx(near)
  parts = [slice(0, 16), slice(16, 32), slice(32, 42)]
  largest = sum(chances[p].max() * len(y[p]) for p in parts) / 42
  found = history.epochs["val_largest"][best]
  assert found == pytest.approx(largest, rel=1e-5)


def test_metrics_over_replicas_and_micro_batches(two_replicas):
  def run(**options):
    loop = trainloop.TrainLoop(
      small.model,
      lambda: keras.optimizers.SGD(0.1),
      step=with_outputs,
      metrics={"chances": "sparse_categorical_accuracy"},
      verbose=False,
      **options,
    )
    return loop.fit(small.data(), 2, validation=small.validation()).epochs

  one = run(compile="graph")
  for options in ({"strategy": two_replicas}, {"accumulate": 2}):
    other = run(**options)
    for name in ("loss", "val_loss", "sparse_categorical_accuracy"):
      np.testing.assert_allclose(other[name], one[name], rtol=1e-4)


@pytest.mark.parametrize(
  ("metrics", "told"),
  [
    (["mae"], "None or {output of `step`"),
    ({"chances": 3}, "None or {output of `step`"),
    ({"chance": "mae"}, "outputs that `step` gives: loss, chances, largest"),
    ({"largest": "mae"}, "a value an example"),
    (
      {"chances": [keras.metrics.AUC(name="a"), keras.metrics.AUC(name="a")]},
      "each of another name",
    ),
    (
      {"chances": keras.metrics.SparseCategoricalAccuracy(name="largest")},
      "other names",
    ),
  ],
)
def test_metrics_that_cannot_be(metrics, told, tmp_path):
  with pytest.raises(ValueError, match=told) as caught:
    small.loop(
      small.model(),
      loss=None,
      metrics=metrics,
      step=with_outputs,
      workdir=tmp_path / "new",
    ).fit(small.data(), 1)
  assert "\n" not in str(caught.value)
  assert not (tmp_path / "new").exists()
