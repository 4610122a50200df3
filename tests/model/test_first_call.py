"""A model's first call is on a batch as it comes; later shapes may differ."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import trainloop
from trainloop.data.source import adapt

RNG = np.random.default_rng(0)
X = RNG.normal(size=(32, 5, 2)).astype("float32")
Y = X.sum((1, 2))[:, None]


def _loop(net, loss="mse", **options):
  options = {"verbose": False, **options}
  return trainloop.TrainLoop(net, keras.optimizers.SGD(0.05), loss, **options)


def _data(x=X, y=Y, batch_size=8, **options):
  options = {"batch_size": batch_size, "shuffle": False, **options}
  return trainloop.ArrayData(x, y, **options)


def _stateful(lazy=False):
  layers = [keras.layers.LSTM(3, stateful=True), keras.layers.Dense(1)]
  inputs = [] if lazy else [keras.Input(batch_shape=(8, 5, 2))]
  keras.utils.set_random_seed(0)
  return keras.Sequential([*inputs, *layers])


def _dense():
  keras.utils.set_random_seed(0)
  return keras.Sequential([keras.Input((5, 2)), keras.layers.Flatten(),
                           keras.layers.Dense(1)])  # fmt: skip


class Grouped(keras.Model):
  """Puts the batch into pairs: its size is written into the model."""

  def __init__(self):
    super().__init__()
    self.dense = keras.layers.Dense(1)

  def call(self, x):
    pairs = self.dense(keras.ops.reshape(x, (4, 20)))
    return keras.ops.repeat(pairs, 2, axis=0)


def _listwise(y, p):
  """The crossentropy over the examples of a batch, as ranking has it."""
  return keras.losses.categorical_crossentropy(
    keras.ops.transpose(keras.ops.softmax(y, 0)),
    keras.ops.transpose(p),
    from_logits=True,
  )


def _best_five(y, p):
  return keras.ops.mean(keras.ops.top_k(p[:, 0], k=5)[0], keepdims=True)


@pytest.mark.parametrize("compile", ["auto", "graph"])
@pytest.mark.parametrize(
  ("make", "loss", "metrics"),
  [
    (_stateful, "mse", None),
    (lambda: _stateful(lazy=True), "mse", None),
    (Grouped, "mse", None),
    (_dense, _listwise, None),
    (_dense, "mse", [_best_five]),
  ],
  ids=["stateful", "stateful lazy", "fixed batch", "listwise", "top_k"],
)
def test_what_needs_a_whole_batch_trains_as_in_keras(
  make, loss, metrics, compile
):
  keras.utils.set_random_seed(0)
  loop = _loop(make(), loss, metrics=metrics, compile=compile)
  epochs = loop.fit(_data(), 2, validation=_data()).epochs
  keras.utils.set_random_seed(0)
  theirs = make()
  theirs.compile(keras.optimizers.SGD(0.05), loss, metrics=metrics)
  expected = theirs.fit(
    X, Y, 8, 2, shuffle=False, verbose=0,
    validation_data=(X, Y), validation_batch_size=8,
  ).history  # fmt: skip
  for name, values in expected.items():
    np.testing.assert_allclose(epochs[name], values, rtol=2e-4, err_msg=name)


def test_a_run_carries_its_state_over_a_restart(tmp_path):
  def stop(at):
    if at["step"] == 5:
      loop.stop()

  keras.utils.set_random_seed(0)
  whole = _loop(_stateful(), steps_per_loop=7)
  whole.fit(_data(), 2)
  options = {"workdir": str(tmp_path), "steps_per_loop": 1}
  loop = _loop(_stateful(), on_window=stop, **options)
  assert loop.fit(_data(), 2).stop_reason == "preempted"
  again = _loop(_stateful(), **options)
  again.fit(_data(), 2)
  for mine, theirs in zip(
    [*again.model.weights, *again.model.layers[0].states],
    [*whole.model.weights, *whole.model.layers[0].states],
    strict=True,
  ):
    np.testing.assert_array_equal(mine.numpy(), theirs.numpy())


def test_a_lazily_built_state_starts_from_zero():
  loop = _loop(_stateful(lazy=True))
  loop.programs.build(adapt("data", _data()))
  states = loop.model.layers[0].states
  assert states and all(not np.any(state) for state in states)


def test_a_state_of_the_users_is_left_as_it_was():
  net = _stateful()
  for state in net.layers[0].states:
    state.assign(np.full(state.shape, 0.5))
  _loop(net).programs.build(adapt("data", _data()))
  assert all(np.all(state == 0.5) for state in net.layers[0].states)


@pytest.mark.parametrize(
  ("source", "told"),
  [
    ({"batch_size": 4}, "must be in whole batches of 8 .*got 'batches of 4'"),
    (
      {"x": X[:28], "y": Y[:28]},
      "must be in whole batches of 8 .*'a partial last batch'",
    ),
  ],
)
def test_a_fixed_batch_is_kept_to(source, told):
  with pytest.raises(ValueError, match=f"`validation` {told}"):
    _loop(_stateful()).fit(_data(), 1, validation=_data(**source))


def _any_length():
  keras.utils.set_random_seed(0)
  inputs = keras.Input((None, 2))
  x = keras.layers.Dense(4, activation="tanh")(inputs)
  x = keras.layers.GlobalAveragePooling1D()(x)
  return keras.Model(inputs, keras.layers.Dense(1)(x))


def _labels_of_any_length():
  dense = keras.layers.Dense(3, activation="softmax")
  return keras.Sequential([keras.Input((None, 2)), dense])


@pytest.mark.parametrize("compile", ["xla", "graph"])
@pytest.mark.parametrize("sequences", [False, True])
def test_sizes_that_the_model_takes(compile, sequences):
  x = {n: RNG.normal(size=(16, n, 2)).astype("float32") for n in (4, 7, 9)}
  y = {n: one[:, 0, :1] for n, one in x.items()}
  net, loss = _any_length(), "mse"
  if sequences:
    net, loss = _labels_of_any_length(), "sparse_categorical_crossentropy"
    y = {n: (one[..., 0] > 0).astype("int64") for n, one in x.items()}
  loop = _loop(net, loss, compile=compile)
  loop.fit(_data(x[4], y[4]), 1, validation=_data(x[7], y[7]))
  found = loop.fit(_data(x[9], y[9]), 1, validation=_data(x[4], y[4])).epochs
  assert np.isfinite(found["loss"]).all()
  net.compile("sgd", loss)
  expected = net.evaluate(x[4], y[4], verbose=0)
  np.testing.assert_allclose(found["val_loss"][0], expected, rtol=1e-5)
  evaluated = loop.evaluate(_data(x[7], y[7]))["loss"]
  expected = net.evaluate(x[7], y[7], verbose=0)
  np.testing.assert_allclose(evaluated, expected, rtol=1e-5)


def test_buckets_of_text_each_padded_to_its_longest():
  def text(seed, longest):
    rng = np.random.default_rng(seed)
    rows = [rng.integers(1, 9, rng.integers(2, longest)) for _ in range(24)]
    spec = (
      tf.TensorSpec((None,), tf.int32),
      tf.TensorSpec((1,), tf.float32),
    )
    ds = tf.data.Dataset.from_generator(
      lambda: ((row, [float(row[0] > 4)]) for row in rows),
      output_signature=spec,
    )
    return ds.bucket_by_sequence_length(
      lambda x, y: tf.shape(x)[0], [4, 8], [4, 4, 4]
    )

  net = keras.Sequential(
    [
      keras.layers.Embedding(9, 4, mask_zero=True),
      keras.layers.GlobalAveragePooling1D(),
      keras.layers.Dense(1, activation="sigmoid"),
    ]
  )
  loop = _loop(net, "binary_crossentropy")
  epochs = loop.fit(text(0, 12), 1, validation=text(1, 20)).epochs
  assert loop.engine.name == "graph"
  net.compile("sgd", "binary_crossentropy")
  expected = net.evaluate(text(1, 20), verbose=0)
  np.testing.assert_allclose(epochs["val_loss"][0], expected, rtol=1e-5)


@pytest.mark.parametrize(
  ("x", "y", "told"),
  [
    (X[:, :4], Y, r"of shapes \(5, 2\) in `x`, as the first data, or others"),
    (X[..., 0], Y, r"of shapes \(5, 2\) in `x`, as the first data; got \(5,\)"),
    (X, np.repeat(Y, 2, 1), r"of shapes \(1,\) in `y`.*got \(2,\)"),
    ({"x": X}, Y, r"of shapes \(5, 2\) in `x`"),
  ],
  ids=["size", "rank", "targets", "keys"],
)
def test_shapes_that_the_model_does_not_take(x, y, told):
  loop = _loop(_dense(), lambda y, p: keras.ops.square(y - p))
  with pytest.raises(
    ValueError, match=f"`validation` must be {told}"
  ) as caught:
    loop.fit(_data(), 1, validation=_data(x, y))
  assert "\n" not in str(caught.value)


def test_a_first_call_has_the_share_of_a_micro_batch():
  seen = []

  class Seen(keras.Model):
    def __init__(self):
      super().__init__()
      self.dense = keras.layers.Dense(1)

    def call(self, x):
      seen.append(x.shape)
      return self.dense(keras.layers.Flatten()(x))

  loop = _loop(Seen(), accumulate=4)
  loop.programs.build(adapt("data", _data(batch_size=16)))
  assert seen[0] == (4, 5, 2)
