"""Ids beyond an Embedding's table, and labels that a stream brings late."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import trainloop
from support import small

ROWS, SIZE = 40, 8
LAYERS = keras.layers


def ids(value=None, at=21, dtype="int32"):
  """(40, 3) ids below 20, example `at` of which has `value`."""
  found = np.random.default_rng(0).integers(0, 20, (ROWS, 3)).astype(dtype)
  if value is not None:
    found[at, 1] = value
  return found


Y = np.random.default_rng(1).integers(0, 2, (ROWS, 1)).astype("float32")


def head(x):
  return LAYERS.Dense(1, activation="sigmoid")(LAYERS.Flatten()(x))


def plain():
  x = LAYERS.Input((3,), dtype="int32")
  return keras.Model(x, head(LAYERS.Embedding(20, 2, name="words")(x)))


def sliced():
  x = LAYERS.Input((3,))
  part = LAYERS.Reshape((1,))(x[:, 1:2])
  return keras.Model(x, head(LAYERS.Embedding(20, 2, name="words")(part)))


def shared():
  a = LAYERS.Input((3,), name="a", dtype="int32")
  b = LAYERS.Input((3,), name="b", dtype="int32")
  table = LAYERS.Embedding(20, 2, name="words")
  return keras.Model(
    {"a": a, "b": b}, head(LAYERS.Concatenate()([table(a), table(b)]))
  )


@keras.saving.register_keras_serializable("test_ranges")
class Buckets(LAYERS.Layer):
  """An Embedding inside a layer, of what the layer makes of its inputs."""

  def __init__(self):
    super().__init__()
    self.table = LAYERS.Embedding(10, 2, name="words")

  def call(self, x):
    return self.table(tf.cast(x, tf.int32) // 2)


class Subclassed(keras.Model):
  def __init__(self):
    super().__init__()
    self.buckets, self.last = Buckets(), LAYERS.Dense(1, activation="sigmoid")

  def call(self, x):
    return self.last(tf.reduce_mean(self.buckets(x), 1))


class Learnt(keras.Model):
  """Looks up ids that its weights decide."""

  def __init__(self):
    super().__init__()
    self.scale = self.add_weight(shape=(), initializer="ones")
    self.table = LAYERS.Embedding(20, 2, name="words")
    self.last = LAYERS.Dense(1, activation="sigmoid")

  def call(self, x):
    found = self.table(tf.cast(x, tf.float32) * self.scale)
    return self.last(tf.reduce_mean(found, 1))


def loop(net, engine, **options):
  options = {"loss": "binary_crossentropy", "metrics": None, **options}
  return small.loop(net, compile=engine, **options)


def arrays(x):
  return trainloop.ArrayData(x, Y, batch_size=SIZE, shuffle=False)


def stream(x, y=Y):
  data = tf.data.Dataset.from_tensor_slices((x, y))
  return data.batch(SIZE, drop_remainder=True)


WORDS = r"ids in \[0, 19\] for the Embedding 'words', a table of 20 rows"
KINDS = {
  "beyond": (plain, ids(20), rf"`x` must be {WORDS}; got 20 in example 21"),
  "beyond an int32, where it would wrap": (
    plain,
    ids(2**32 + 5, dtype="int64"),
    "got 4294967301 in example 21",
  ),
  "below 0": (plain, ids(-1), "got -1 in example 21"),
  "in the first example": (plain, ids(99, at=0), rf"`x` must be {WORDS}"),
  "floats": (sliced, ids(20.5, dtype="float32"), "got 20 in example 21"),
  "bytes": (plain, ids(200, dtype="uint8"), "got 200 in example 21"),
  "one of two inputs": (
    shared,
    {"a": ids(), "b": ids(20)},
    r"`x\['b'\]` must be ids.*got 20 in example 21",
  ),
  "made inside a layer": (
    Subclassed,
    ids(40, dtype="float32"),
    r"ids in \[0, 9\] .*got 20 in example 21",
  ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_arrays_are_refused_before_the_first_step(kind):
  make, x, match = KINDS[kind]
  tried = loop(make, "graph")
  with pytest.raises(ValueError, match=match) as caught:
    tried.fit(arrays(x), 1)
  assert "\n" not in str(caught.value)
  assert tried.global_step == 0


def test_evaluation_validation_and_sweep_refuse_arrays_too():
  tried = loop(plain, "xla")
  bad, match = arrays(ids(20)), "got 20 in example 21"
  with pytest.raises(ValueError, match=f"`x` of `validation`.*{match}"):
    tried.fit(arrays(ids()), 1, validation=bad)
  with pytest.raises(ValueError, match=match):
    tried.evaluate(bad)
  with pytest.raises(ValueError, match=match):
    trainloop.sweep_learning_rate(tried, bad, steps=3)
  assert tried.global_step == 0


# What a stream brings in its third batch, what says so, and the value.
STREAMS = {
  "ids": (plain, ids(20), Y, {}, WORDS, 20),
  "ids below 0": (plain, ids(-3), Y, {}, WORDS, -3),
  "ids of a layer": (
    Subclassed,
    ids(40, dtype="float32"),
    Y,
    {},
    r"ids in \[0, 9\]",
    20,
  ),
  "ids that weights decide": (
    Learnt,
    ids(21, dtype="float32"),
    Y,
    {},
    WORDS,
    None,
  ),
  "in micro-batches": (plain, ids(20), Y, {"accumulate": 2}, WORDS, 20),
  "skipping": (plain, ids(20), Y, {"on_nonfinite": "skip"}, WORDS, 20),
}


def late(y, value):
  found = np.array(y)
  found[21] = value
  return found


X, LABELS = small.arrays(ROWS)
NETS = {
  "labels": (
    small.model,
    X,
    late(LABELS, 7),
    {"loss": keras.losses.SparseCategoricalCrossentropy()},
    r"labels in \[0, 2\] for 3 outputs",
    7,
  ),
  "labels below 0": (
    small.model,
    X,
    late(LABELS, -1),
    {"loss": keras.losses.sparse_categorical_crossentropy},
    r"labels in \[0, 2\]",
    -1,
  ),
  "binary labels": (
    lambda: keras.Sequential(
      [LAYERS.Input((8,)), LAYERS.Dense(1, activation="sigmoid")]
    ),
    X,
    late(Y, 2),
    {},
    r"labels in \[0, 1\] for binary_crossentropy",
    2,
  ),
}


IN_GRAPH_TOO = ("ids", "in micro-batches", "labels", "binary labels")


@pytest.mark.parametrize(
  ("kind", "engine"),
  [
    *((kind, "xla") for kind in [*STREAMS, *NETS]),
    *((kind, "graph") for kind in IN_GRAPH_TOO),
  ],
)
def test_a_stream_ends_with_step_value_and_range(kind, engine):
  make, x, y, options, match, value = {**STREAMS, **NETS}[kind]
  tried = loop(make, engine, seed=3, **options)
  with pytest.raises(trainloop.ValueRangeError, match=match) as caught:
    tried.fit(stream(x, y), 1)
  assert "\n" not in str(caught.value)
  assert caught.value.step == 2
  assert value is None or caught.value.value == value
  assert tried.global_step == 2
  assert len(tried.history.rows["step"]) == 2
  # The weights are those of the step before, to the byte.
  want = loop(make, engine, seed=3, **options)
  want.fit(stream(x, y).take(2), 1)
  assert small.state_of(tried) == small.state_of(want)


@pytest.mark.parametrize("engine", ["xla", "graph"])
def test_a_stream_that_is_evaluated_names_the_batch(engine):
  tried = loop(plain, engine)
  with pytest.raises(trainloop.ValueRangeError, match="batch 2 of the") as one:
    tried.evaluate(stream(ids(20)))
  assert (one.value.batch, one.value.value) == (2, 20)
  with pytest.raises(trainloop.ValueRangeError, match=WORDS):
    tried.fit(arrays(ids()), 1, validation=stream(ids(-1)))
  with pytest.raises(trainloop.ValueRangeError, match="update 2 "):
    trainloop.sweep_learning_rate(tried, stream(ids(20)), steps=4)


def test_the_step_before_bad_data_is_saved_and_other_data_is_no_mending(
  tmp_path,
):
  def fit(x):
    tried = loop(plain, "xla", seed=3, workdir=tmp_path)
    tried.fit(stream(x), 2)

  for _ in range(2):  # it goes on to the same batch
    with pytest.raises(trainloop.ValueRangeError):
      fit(ids(20))
  with pytest.raises(ValueError, match=r"`data\.constants` must be"):
    fit(ids())


def test_what_is_in_range_trains_as_it_did():
  for engine in ("xla", "graph"):
    from_arrays, streamed = (
      loop(plain, engine, seed=3),
      loop(plain, engine, seed=3),
    )
    from_arrays.fit(arrays(ids()), 2)
    streamed.fit(stream(ids()), 2)
    for one, two in zip(
      from_arrays.model.weights, streamed.model.weights, strict=True
    ):
      np.testing.assert_allclose(one, two, rtol=1e-6)
    assert "call" not in vars(streamed.model.get_layer("words"))
  ignoring = keras.losses.SparseCategoricalCrossentropy(ignore_class=-1)
  tried = loop(small.model, "xla", loss=ignoring)
  history = tried.fit(stream(X, late(LABELS, -1)), 1)
  assert np.isfinite(history.epochs["loss"]).all()


def test_embeddings_are_found_however_deep():
  """`Model.layers` leaves them out; the private way there is still there."""
  from trainloop.model import lookups

  model = Subclassed()
  assert lookups.embeddings(model) == [model.buckets.table]
