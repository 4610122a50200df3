"""A run goes on only as the run that it was: one line says what is another."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

import kernels
import trainloop
from support import interruption, small, workdirs
from trainloop.data import identity
from trainloop.data.source import adapt
from trainloop.workdir import description, fit_log, optimizer_config

L, K = keras.layers, keras
SCALE = 1.0  # a global that a loss reads


@keras.saving.register_keras_serializable("tests")
class Noisy(L.Layer):
  """A user's layer with an option."""

  def __init__(self, rate=0.1, **options):
    super().__init__(**options)
    self.rate = rate

  def call(self, x):
    return x * (1.0 + self.rate)


class Block(L.Layer):
  """A user's layer that holds others, and says nothing of them."""

  def __init__(self, dropped):
    super().__init__()
    self.inner = L.Dropout(dropped)

  def call(self, x, training=None):
    return self.inner(x, training=training)


class Squared(L.Layer):
  """The `Block` of another program, in which `call` is another one."""

  def call(self, x):
    return x * x


class Cubed(L.Layer):
  def call(self, x):
    return x * x * x


Squared.__qualname__ = Cubed.__qualname__ = Cubed.__name__ = "Squared"


class Focal(keras.losses.Loss):
  """A loss whose config leaves its option out."""

  def __init__(self, gamma):
    super().__init__()
    self._gamma = gamma

  def call(self, y, p):
    p = keras.ops.take_along_axis(p, keras.ops.cast(y, "int32")[:, None], 1)
    return -((1 - p[:, 0]) ** self._gamma) * keras.ops.log(p[:, 0])


class Called:
  """A loss that is no Keras object."""

  def __init__(self, gamma):
    self.gamma = gamma

  def __call__(self, y, p):
    return self.gamma * keras.losses.sparse_categorical_crossentropy(y, p)


def closed(gamma):
  def loss(y, p):
    return gamma * keras.losses.sparse_categorical_crossentropy(y, p)

  return loss


def scaled(y, p):
  return SCALE * keras.losses.sparse_categorical_crossentropy(y, p)


def part(gamma):
  def loss(y, p, gamma):
    return gamma * keras.losses.sparse_categorical_crossentropy(y, p)

  return functools.partial(loss, gamma=gamma)


def one(y, p):
  return keras.losses.sparse_categorical_crossentropy(y, p)


def other(y, p):
  return 2 * keras.losses.sparse_categorical_crossentropy(y, p)


other.__qualname__ = "one"


def net(
  seed=0,
  activation="relu",
  rate=0.3,
  l2=0.01,
  init="glorot_uniform",
  constraint=None,
  frozen=False,
  more=(),
  joined="add",
  epsilon=1e-3,
):
  keras.utils.set_random_seed(seed)
  x = inputs = L.Input((8,))
  x = L.Dense(
    6,
    activation=activation,
    kernel_regularizer=keras.regularizers.L2(l2),
    kernel_initializer=init,
    kernel_constraint=constraint,
    trainable=not frozen,
  )(x)
  x = L.BatchNormalization(epsilon=epsilon)(x)
  left, right = L.Dropout(rate)(x), L.Dense(6)(x)
  x = {"add": left + right, "mul": left * right, "swap": right + left}[joined]
  for layer in more:
    x = layer(x)
  return keras.Model(inputs, L.Dense(3, activation="softmax")(x))


def with_(*layers):
  """A net with more layers; they are made in it, as it is made."""
  return lambda: net(more=[layer() for layer in layers])


def normal(scale):
  layer = L.Normalization()
  layer.adapt(scale * np.arange(18, dtype=np.float32).reshape(3, 6))
  return layer


def inner(rate):
  return keras.Sequential([L.Dense(6), L.Dropout(rate)])


def data(shift=0.0, weight=None):
  x, y = small.arrays(32)
  y = (y + int(shift)) % 3
  return trainloop.ArrayData(x, y, weight, batch_size=8)


def dataset(shift=0.0, at=0, factor=1.0, seed=None, mapped=True, random=False):
  x, y = small.arrays(64)
  x[at] += shift
  found = tf.data.Dataset.from_tensor_slices((x, y)).shuffle(64, seed)
  if mapped:
    found = found.map(lambda x, y: (x * factor, y))
  if random:
    found = found.map(lambda x, y: (x + tf.random.uniform([8]), y))
  return found.batch(8).prefetch(tf.data.AUTOTUNE)


def generated(shift=0.0):
  x, y = small.arrays(32)

  def batches():
    for i in range(0, 32, 8):
      yield x[i : i + 8] + np.float32(shift), y[i : i + 8]

  spec = tf.TensorSpec((8, 8)), tf.TensorSpec((8,), tf.int64)
  return tf.data.Dataset.from_generator(batches, output_signature=spec)


def drawn():
  """Batches that a Python function draws, others each time."""
  generator = np.random.default_rng()

  def noise(x):
    return x + generator.random(x.shape, np.float32)

  def add(x, y):
    found = tf.numpy_function(noise, [x], tf.float32)
    return tf.ensure_shape(found, x.shape), y

  return dataset(mapped=False).map(add)


def two_outputs():
  keras.utils.set_random_seed(0)
  x = L.Input((8,))
  outputs = {n: L.Dense(3, activation="softmax")(x) for n in "ab"}
  return keras.Model(x, outputs)


def two_targets():
  x, y = small.arrays(32)
  return trainloop.ArrayData(x, {"a": y, "b": y}, batch_size=8)


def run(
  workdir,
  made=net,
  train=data,
  valid=data,
  loss="sparse_categorical_crossentropy",
  optimizer=lambda: keras.optimizers.SGD(0.1, momentum=0.9),
  **options,
):
  """One epoch of a loop; every part is made by a call, anew each time."""
  loop = small.loop(
    made(),
    optimizer(),
    loss=loss,
    workdir=workdir,
    **{"compile": "graph", "schedule": kernels.Constant(0.1), **options},
  )
  return loop.fit(train(), 1, validation=valid())


def P(function, **options):
  return functools.partial(function, **options)


adamw = P(keras.optimizers.AdamW, learning_rate=0.1)
# Its biases decay all the same.
muon = P(keras.optimizers.Muon, learning_rate=0.1, weight_decay=0.0)


def spares_first(kind="AdamW"):
  """An optimizer told by the name of a layer what not to decay."""
  found = getattr(keras.optimizers, kind)(0.1, weight_decay=0.5)
  found.exclude_from_weight_decay(var_names=["first"])
  return found


def named():
  """A net with a layer of that name."""
  keras.utils.set_random_seed(0)
  layers = [L.Dense(6, "relu", name="first"), L.Dense(3, "softmax")]
  return keras.Sequential([L.Input((8,)), *layers])


def undecayed(made=adamw):
  found = made()
  found.exclude_from_weight_decay(var_names=["bias"])
  return found


MSE, CE = keras.losses.MeanSquaredError, "sparse_categorical_crossentropy"
SCC = keras.losses.SparseCategoricalCrossentropy
TOP = keras.metrics.SparseTopKCategoricalAccuracy
both = {"made": two_outputs, "train": two_targets, "valid": two_targets,
        "loss": {"a": CE, "b": CE}, "metrics": None}  # fmt: skip
# What a run was, what it is, the path in the line; values where they are few.
CHANGES = {
  "activation": ({}, {"made": P(net, activation="tanh")},
                 "model.layers[1].activation", "'relu'", "'tanh'"),
  "a function as activation": (
    {"made": P(net, activation=lambda x: x * 0.5)},
    {"made": P(net, activation=lambda x: x * 0.25)},
    "model.layers[1].activation.code"),
  "dropout": ({}, {"made": P(net, rate=0.4)},
              "model.layers[3].rate", "0.3", "0.4"),
  "regularizer": ({}, {"made": P(net, l2=0.02)},
                  "model.layers[1].kernel_regularizer.l2", "0.01", "0.02"),
  "initializer": ({}, {"made": P(net, init="he_normal")},
                  "model.layers[1].kernel_initializer", "'GlorotUniform'",
                  "'HeNormal'"),
  "its seed": (
    {"made": lambda: net(init=K.initializers.HeNormal(1))},
    {"made": lambda: net(init=K.initializers.HeNormal(2))},
    "model.layers[1].kernel_initializer.seed", "1", "2"),
  "constraint": ({}, {"made": P(net, constraint="non_neg")},
                 "model.layers[1].kernel_constraint"),
  "frozen": ({}, {"made": P(net, frozen=True)},
             "model.layers[1].trainable", "True", "False"),
  "epsilon": ({}, {"made": P(net, epsilon=0.01)},
              "model.layers[2].epsilon", "0.001", "0.01"),
  "connections": ({}, {"made": P(net, joined="swap")}, "model.graph"),
  "operation": ({}, {"made": P(net, joined="mul")}, "model.graph"),
  "one layer more": ({}, {"made": with_(L.ReLU)}, "model.graph"),
  "a layer of one's own": (
    {"made": with_(P(Noisy, rate=0.1))}, {"made": with_(P(Noisy, rate=0.2))},
    "model.layers[5].rate", "0.1", "0.2"),
  "a layer in a layer": (
    {"made": with_(P(Block, dropped=0.1))},
    {"made": with_(P(Block, dropped=0.2))}, "model.layers[5].dropped"),
  "code of a layer": ({"made": with_(Squared)}, {"made": with_(Cubed)},
                      "model.layers[5].code"),
  "lambda": ({"made": with_(lambda: L.Lambda(lambda x: x * 2.0))},
             {"made": with_(lambda: L.Lambda(lambda x: x * 3.0))},
             "model.layers[5].function.code"),
  "nested": ({"made": with_(P(inner, rate=0.1))},
             {"made": with_(P(inner, rate=0.2))},
             "model.layers[5].layers[1].rate", "0.1", "0.2"),
  "adapted": ({"made": with_(P(normal, scale=1))},
              {"made": with_(P(normal, scale=2))},
              "model.layers[5].state.weights"),
  "dtype": ({"made": with_(L.ReLU)},
            {"made": with_(P(L.ReLU, dtype="bfloat16"))},
            "model.layers[5].dtype", "'float32'", "'bfloat16'"),
  "model seed": ({}, {"made": P(net, seed=1)}, "random_seed", "0", "1"),
  "loop seed": ({}, {"seed": 3}, "seed", "0", "3"),
  "loss": ({"loss": CE}, {"loss": one}, "loss"),
  "loss option": ({"loss": SCC()}, {"loss": SCC(from_logits=True)},
                  "loss.from_logits", "False", "True"),
  "loss code": ({"loss": one}, {"loss": other}, "loss.code"),
  "loss closure": ({"loss": closed(1.0)}, {"loss": closed(2.0)},
                   "loss.values.gamma", "1.0", "2.0"),
  "partial": ({"loss": part(1.0)}, {"loss": part(2.0)},
              "loss.keywords.gamma", "1.0", "2.0"),
  "lambda loss": ({"loss": lambda y, p: one(y, p) * 1.0},
                  {"loss": lambda y, p: one(y, p) * 3.0}, "loss.code"),
  "loss attribute": ({"loss": Focal(2.0)}, {"loss": Focal(1.0)},
                     "loss.values._gamma", "2.0", "1.0"),
  "callable": ({"loss": Called(2.0)}, {"loss": Called(1.0)},
               "loss.values.gamma", "2.0", "1.0"),
  "loss_weights": ({**both, "loss_weights": {"a": 1.0, "b": 1.0}},
                   {**both, "loss_weights": {"a": 1.0, "b": 2.0}},
                   "loss_weights.b", "1.0", "2.0"),
  "one of two losses": (both, {**both, "loss": {"a": CE, "b": SCC()}},
                        "loss.b"),
  "metrics": ({}, {"metrics": ["accuracy", TOP(2)]}, "metrics"),
  "metric option": ({"metrics": [TOP(2)]}, {"metrics": [TOP(1)]},
                    "metrics[0].k", "2", "1"),
  "average": ({}, {"optimizer": P(K.optimizers.SGD, momentum=0.9,
                                  use_ema=True)},
              "optimizer.use_ema", "False", "True"),
  "average of the loop": ({}, {"average": trainloop.EMA(0.9)}, "average",
                          "None", "'EMA(decay=0.9, warmup=True)'"),
  "decay of the average": ({"average": trainloop.EMA(0.9)},
                           {"average": trainloop.EMA(0.99)}, "average"),
  "undecayed": ({"optimizer": adamw}, {"optimizer": undecayed},
                "optimizer.not_decayed"),
  "undecayed beside matrices": (
    {"optimizer": muon}, {"optimizer": P(undecayed, made=muon)},
    "optimizer.not_decayed"),
  "validation": ({}, {"valid": P(data, shift=1)}, "validation.data_crc32"),
  "no validation": ({}, {"valid": lambda: None}, "validation"),
  "weights of examples": ({}, {"train": P(data, weight=np.ones(32))},
                          "data_crc32"),
  "dataset": ({"train": dataset}, {"train": P(dataset, shift=0.5)},
              "data.constants"),
  "its end": ({"train": dataset}, {"train": P(dataset, shift=0.5, at=63)},
              "data.constants"),
  "its function": ({"train": dataset}, {"train": P(dataset, factor=2.0)},
                   "data.first_batches"),
  "its shuffle": ({"train": P(dataset, seed=1)},
                  {"train": P(dataset, seed=2)}, "data.shuffles[0]",
                  "[64, 0, 1]", "[64, 0, 2]"),
  "generator": ({"train": generated}, {"train": P(generated, shift=1)},
                "data.first_batches"),
  "validation dataset": ({"valid": dataset}, {"valid": P(dataset, shift=1)},
                         "validation.constants"),
}  # fmt: skip


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
  """The workdir of the run without options."""
  workdir = tmp_path_factory.mktemp("plain")
  begin(workdir)
  return workdir


def begin(workdir, **options):
  """A run that is left before its first update, with its checkpoint."""
  interruption.cut_before(0, lambda: run(workdir, **options))


@pytest.mark.parametrize("name", CHANGES)
def test_another_run_is_refused_by_the_name_of_what_is_another(
  name, tmp_path, plain
):
  was, now, path, *values = CHANGES[name]
  workdir = tmp_path if was else plain
  if was:
    begin(workdir, **was)
  before = workdirs.files(workdir)
  with pytest.raises(ValueError, match='existing="overwrite"') as caught:
    run(workdir, **now)
  told = str(caught.value)
  assert "\n" not in told and len(told) < 800
  assert told.startswith(f"`{path}") and "as in the run that" in told, told
  if values:
    assert told.startswith(f"`{path}` must be {values[0]}, "), told
    assert told.endswith(f"; got {values[1]}"), told
  assert before == workdirs.files(workdir)


def counted(made=net):
  """A net of a process in which there are others already."""
  keras.Sequential([L.Dense(1), L.Dropout(0.1), L.BatchNormalization()])
  return made()


def renamed():
  found = net()
  found.name = "another"
  return found


def moved(gamma):
  """The same as `closed`, further down."""

  def loss(y, p):
    """With a word on it."""
    # And another.
    return gamma * keras.losses.sparse_categorical_crossentropy(y, p)

  loss.__qualname__ = closed(gamma).__qualname__
  return loss


@tf.function
def graphed(y, p):
  return SCALE * keras.losses.sparse_categorical_crossentropy(y, p)


SAME = {
  "the same": ({}, {}),
  "other names": ({}, {"made": counted}),
  "another name": ({}, {"made": renamed}),
  "a comment": ({"loss": closed(1.0)}, {"loss": moved(1.0)}),
  "a loss made anew": ({"loss": Focal(2.0)}, {"loss": Focal(2.0)}),
  "metrics made anew": ({"metrics": [TOP(2, name="top")]},
                        {"metrics": [TOP(2, name="top")]}),
  "metrics without names": ({"metrics": [TOP(2)]}, {"metrics": [TOP(2)]}),
  "a tf.function": ({"loss": graphed}, {"loss": graphed}),
  "windows": ({}, {"steps_per_loop": 3}),
  "callbacks": ({}, {"on_epoch": print, "verbose": 0}),
  "unseeded initializers": ({"made": with_(P(inner, rate=0.1))},
                            {"made": with_(P(inner, rate=0.1))}),
  "an order without a seed": ({"train": P(dataset)}, {"train": P(dataset)}),
  "random batches": ({"train": P(dataset, random=True)},
                     {"train": P(dataset, random=True)}),
  "batches that no seed repeats": ({"train": drawn}, {"train": drawn}),
  "a dataset's time": ({"train": dataset},
                       {"train": lambda: dataset().prefetch(3)}),
  "generator": ({"train": generated}, {"train": generated}),
  "weight decay": ({"optimizer": undecayed}, {"optimizer": undecayed}),
}  # fmt: skip


@pytest.fixture
def unseeded():
  """TensorFlow without a seed, which other tests may have set."""
  from tensorflow.python.eager import context

  before = context.context()._seed
  yield
  context.context()._seed = before


@pytest.mark.parametrize("name", SAME)
def test_the_same_run_goes_on(name, tmp_path, unseeded):
  was, now = SAME[name]
  tf.random.set_seed(1)
  begin(tmp_path, **was)
  tf.random.set_seed(1)
  begin(tmp_path, **now)  # it comes to its first window


# Keras asks once a weight, whoever asks first, and knows it by another name in
# Muon than in the others.
@pytest.mark.parametrize("kind", ["AdamW", "Muon"])
@pytest.mark.parametrize("compile", ["graph", "xla"])
def test_asking_what_decays_changes_nothing(compile, kind, tmp_path):
  x, y = small.arrays(32)
  theirs, mine = named(), named()
  theirs.compile(spares_first(kind), CE)
  theirs.fit(x, y, batch_size=8, shuffle=False, verbose=0)
  options = {
    "train": lambda: trainloop.ArrayData(x, y, batch_size=8, shuffle=False),
    "optimizer": P(spares_first, kind=kind),
    "compile": compile,
  }
  begin(tmp_path, made=named, **options)
  run(tmp_path, made=lambda: mine, **options)
  for one, other in zip(mine.weights, theirs.weights, strict=True):
    np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


def test_two_replicas_see_the_same(tmp_path, two_replicas):
  def begun(made, optimizer):
    def go():
      loop = small.loop(
        made, optimizer, workdir=tmp_path, compile="graph",
        strategy=two_replicas, schedule=kernels.Constant(0.1),
      )  # fmt: skip
      loop.fit(dataset(seed=1), 1, validation=data())

    interruption.cut_before(0, go)

  sgd = P(keras.optimizers.SGD, learning_rate=0.1)
  begun(net, sgd)
  begun(P(counted, made=net), sgd)
  with pytest.raises(ValueError, match=r"`model\.layers\[3\]\.rate` must be"):
    begun(P(net, rate=0.5), sgd)


def test_an_older_checkpoint_is_refused_in_one_line(monkeypatch, tmp_path):
  with monkeypatch.context() as patch:
    patch.setattr(fit_log, "VERSION", fit_log.VERSION - 1)
    begin(tmp_path)
  with pytest.raises(ValueError, match="`checkpoint version` must be") as told:
    run(tmp_path)
  assert "\n" not in str(told.value)


def said(capsys, workdir, **options):
  """The summary's line on what is compared, "" without one."""
  begin(workdir, verbose=1, **options)
  lines = capsys.readouterr().out.splitlines()
  return "".join(one for one in lines if one.startswith("identity"))


def test_the_summary_says_what_is_not_compared(capsys, tmp_path):
  def told(name, **options):
    return said(capsys, tmp_path / name, **options)

  assert told("arrays") == ""
  assert "not compared" not in told("whole", train=dataset)
  assert "data known by at most its first 4 batches" in told(
    "known", train=dataset
  )
  text = told("random", train=drawn)
  assert "not compared: data's batches, which Python makes" in text


def test_reading_what_a_dataset_is_leaves_its_order_alone():
  def orders(reads):
    made = dataset(seed=3)
    if reads:
      source = adapt("data", made)
      identity.of(source, description.Description(), "data")
    return [y.numpy().tolist() for _ in range(2) for _, y in made]

  assert orders(True) == orders(False)


def test_a_generator_is_not_read_again():
  passes = []

  def batches():
    passes.append(len(passes))
    x, y = small.arrays(16)
    yield from ((x, y) for _ in range(2))

  spec = tf.TensorSpec((16, 8)), tf.TensorSpec((16,), tf.int64)
  made = tf.data.Dataset.from_generator(batches, output_signature=spec)
  source = adapt("data", made)
  assert source.example is not None and len(passes) == 2
  found = identity.of(source, description.Description(), "data")
  assert "crc32" in found["first_batches"] and len(passes) == 2


def test_an_optimizer_whose_config_fails_is_still_compared():
  class Silent(keras.optimizers.SGD):
    def get_config(self):
      raise TypeError("none")

  found = optimizer_config.of(Silent(0.1, momentum=0.7, nesterov=True))
  assert found["momentum"] == 0.7 and found["nesterov"] is True
