"""Bad input of all kinds: one clear line before step 1, and nothing created."""

import functools
import traceback

import keras
import numpy as np
import pytest
import tensorflow as tf

import kernels
import trainloop
from kernels import checks
from support import small
from trainloop import recipes

NAN, INF = float("nan"), float("inf")
HUGE = 10**400  # an int beyond every float
_X, _Y = small.arrays(16)
_FUNCTIONS = {
  "none": lambda: None,
  "two": lambda a, b: None,
  "named": lambda *, values: None,
}
_DATASET = tf.data.Dataset.from_tensor_slices((_X, _Y)).batch(4)


def refused(call, name, tmp_path=None):
  """What an ArgumentError of one line, about `name`, says."""
  with pytest.raises(checks.ArgumentError) as caught:
    call()
  text = str(caught.value)
  assert f"`{name}" in text and "\n" not in text and len(text) < 900
  assert "must be" in text
  if tmp_path is not None:
    assert not list(tmp_path.iterdir())
  return text


def many(call, name, values):
  """[(call with a value, the argument's name)] for a table."""
  return [
    pytest.param(
      functools.partial(call, value), name, id=f"{name}-{str(value)[:12]}-{i}"
    )
    for i, value in enumerate(values)
  ]


def loop_of(name):
  def make(value):
    return trainloop.TrainLoop(
      lambda: pytest.fail("a model was made"), "sgd", "mse", **{name: value}
    )

  return make


def stopping_of(name):
  return lambda value: trainloop.EarlyStopping(**{name: value})


def plateau_of(name):
  return lambda value: trainloop.ReduceOnPlateau(**{name: value})


def data_of(name):
  return lambda value: trainloop.ArrayData(
    _X, _Y, **{"batch_size": 4, name: value}
  )


# Of values that no argument of the kind can have.
_COUNTS = (2**62, 2**63, 2**70, HUGE, -1, 1.5, NAN, INF, "2", True, [1])
_NUMBERS = (1e39, 10**39, HUGE, NAN, INF, "0.1", True, None, 1j, [0.1])
_BOOLS = ("False", "", 2, 0, np.array([True, False]), np.array([True]), [])
_LONG = "1" * 400


@pytest.mark.parametrize(
  ("call", "name"),
  [
    *many(data_of("batch_size"), "batch_size", [*_COUNTS, None]),
    *many(data_of("seed"), "seed", [2**63, 2**70, HUGE, -1, 1.5, NAN, True]),
    *many(data_of("shuffle"), "shuffle", [*_BOOLS, None]),
    *many(data_of("drop_remainder"), "drop_remainder", [*_BOOLS, None]),
    *many(loop_of("keep"), "keep", _COUNTS),
    *many(loop_of("log_every"), "log_every", _COUNTS[1:]),
    *many(loop_of("accumulate"), "accumulate", _COUNTS),
    *many(loop_of("steps_per_loop"), "steps_per_loop", _COUNTS),
    *many(loop_of("verbose"), "verbose", [2**70, HUGE, -1, 3, 1.5, "1"]),
    *many(loop_of("resident_mb"), "resident_mb", [HUGE, NAN, INF, 0, "2"]),
    *many(loop_of("staging_mb"), "staging_mb", [HUGE, NAN, INF, -1, "2"]),
    *many(loop_of("log_graph"), "log_graph", [*_BOOLS, None]),
    *many(stopping_of("patience"), "patience", _COUNTS),
    *many(stopping_of("min_delta"), "min_delta", _NUMBERS),
    *many(stopping_of("target"), "target", [1e39, HUGE, NAN, "1", True]),
    *many(stopping_of("divergence"), "divergence", [-1e39, HUGE, NAN, "1"]),
    *many(stopping_of("restore_best_weights"), "restore_best_w", _BOOLS),
    *many(plateau_of("patience"), "patience", _COUNTS),
    *many(plateau_of("factor"), "factor", _NUMBERS),
    *many(plateau_of("min_scale"), "min_scale", _NUMBERS),
    *many(plateau_of("restore_best_first"), "restore_best_f", _BOOLS),
    *many(trainloop.EMA, "decay", [*_NUMBERS, 1, -0.1]),
    *many(lambda v: trainloop.EMA(0.9, v), "warmup", _BOOLS),
    *many(trainloop.ScheduleFree, "beta", [*_NUMBERS, 1, -0.1]),
    *many(trainloop.CycleAverage, "recompute", ["all", True, 0, []]),
    *many(loop_of("average"), "average", [0.9, "ema", trainloop.EMA, [], 0]),
    *many(lambda v: trainloop.Rewind(v), "factor", _NUMBERS),
    *many(lambda v: trainloop.Rewind(0.5, v), "limit", _COUNTS),
  ],
)
def test_numbers_and_bools_of_options(call, name):
  refused(call, name)


@pytest.mark.parametrize(
  ("call", "name"),
  [
    *many(lambda v: kernels.OneCycle(v, 9), "peak_lr", _NUMBERS),
    *many(lambda v: kernels.Constant(v), "learning_rate", _NUMBERS),
    *many(lambda v: kernels.Linear(v, 0.0, 9), "initial_lr", _NUMBERS),
    *many(lambda v: kernels.OneCycle(0.1, v), "total_steps", _COUNTS),
    *many(
      lambda v: kernels.OneCycle(0.1, 9, momentum=v),
      "momentum",
      [(HUGE, 0.1), (NAN, 0.1), "ab", (True, 0.1), np.zeros((2, 2))],
    ),
    *many(
      lambda v: kernels.PiecewiseConstant(v, [0.1, 0.2]),
      "boundaries",
      [[2**70], [HUGE], [1.5], [True], "5", [NAN]],
    ),
    *many(
      lambda v: kernels.Constant(0.1)(v),
      "step",
      [2**63, 2**70, HUGE, np.uint64(2**63), [2**70], 1.5, None, "1", True],
    ),
    *many(
      lambda v: kernels.tabulate(kernels.Constant(0.1), v),
      "steps",
      [2**61, 10**12, -1, [2**70], np.array([2**63], np.uint64), "3", None],
    ),
    *many(
      lambda v: kernels.from_function(lambda e: 0.1, v, 10),
      "epochs",
      [10**9, *_COUNTS],
    ),
    *many(recipes.one_cycle, "peak_lr", _NUMBERS),
    *many(recipes.autofit, "peak_lr", _NUMBERS),
    *many(lambda v: recipes.sgdr(0.1, v), "cycle_epochs", _COUNTS),
    *many(recipes.function, "fn", [None, 0.1, lambda: 0.1, lambda a, b, c: 1]),
  ],
)
def test_numbers_of_schedules(call, name):
  refused(call, name)


def test_what_counts_as_zero_and_what_numpy_gives():
  constant = kernels.Constant(np.float32(0.25))
  for step in (-(2**70), np.int8(3), np.uint64(7), np.array([1, 2])):
    assert set(np.ravel(constant(step).learning_rate)) == {0.25}
  data = data_of("shuffle")(np.bool_(False))
  assert data.shuffle is False
  stopping_of("patience")(np.int64(3))
  assert loop_of("keep")  # of every count below
  options = {"keep": np.int64(3), "log_every": np.int32(1), "seed": np.int8(1)}
  options |= {"steps_per_loop": np.int64(2), "validate_every": np.int64(4)}
  options |= {"log_graph": np.bool_(False), "verbose": np.int64(0)}
  small.loop(**options)


@pytest.mark.parametrize(
  ("name", "value"),
  [
    *[(f"{which}_every", value)
      for which in ("validate", "checkpoint", "histograms")
      for value in (f"{_LONG}ep", f"{_LONG}st", HUGE, -1, "-1ep", "nan", "1ep ",
                    True, 1.5, [1])],
    *[("profile", value) for value in ("2:1", "a:b", 5, ("1", "2"), "0:0")],
    *[("workdir", value)
      for value in ("", "\udc80", "a/\udc80/b", "a" * 256, "b/" + "é" * 130,
                    "/y" * 3000, "a\0b", b"runs", "gs://bucket", 3, True,
                    ["a"])],
    *[("hparams", {name: 1}) for name in ("\udc80", "", 3, None, ("a",))],
    *[("hparams['a']", {"a": value})
      for value in (HUGE, NAN, INF, "\udc80", 1j, None, [1], {})],
    *[(name, value)
      for name in ("compile", "existing", "on_nonfinite", "bias_correction",
                   "mixed_precision")
      for value in (np.array(["auto"]), ["xla"], 3, {}, "XLA", True)],
    ("strategy", lambda: None),
    ("strategy", "mirorred"),
    ("strategy", 2),
    *[("schedule", value) for value in (0.1, "cosine", lambda step: 0.1)],
    *[(name, function)
      for name in ("on_window", "on_epoch") for function in
      (*_FUNCTIONS.values(), "print", 3)],
    *[("step", function)
      for function in (*_FUNCTIONS.values(), lambda m, x, y: 0, "loss")],
    *[("loss", value) for value in (lambda a: a, lambda a, b, c: a)],
    *[("metrics", value)
      for value in ("accuracy", keras.metrics.Mean(), 3, lambda a, b: a,
                    [lambda a: a], {"y": [lambda: 1]})],
    *[("callbacks", value)
      for value in (keras.callbacks.Callback(), [keras.callbacks.Callback],
                    [print], "CSVLogger")],
    *[("early_stopping", value) for value in ("val_loss", 3, True)],
    ("model", lambda width: small.model()),
    ("model", lambda *, width: small.model()),
    ("model", lambda: None),
    ("model", "mlp"),
    ("optimizer", lambda rate: keras.optimizers.SGD(rate)),
    ("optimizer", lambda: None),
    ("optimizer", "sgdd"),
    ("optimizer", 0.1),
    *[("seed", value) for value in (2**32, 2**70, HUGE, -1, 1.5, NAN, True)],
    *[("loss_weights", value) for value in ("1", [NAN], {"y": INF}, HUGE)],
  ],
)  # fmt: skip
def test_arguments_of_a_loop(name, value, tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  argument = name.partition("[")[0]
  options = {"model": small.model, "optimizer": "sgd", "loss": "mse"}
  needs = ("histograms_every", "profile", "hparams")
  if argument in needs:
    options["workdir"] = "new"
  if argument == "step":
    options["loss"] = None
  options[argument] = value
  if str(name).endswith("_every"):
    options.setdefault("workdir", "new")

  def call():
    model, optimizer = options.pop("model"), options.pop("optimizer")
    loop = trainloop.TrainLoop(
      model, optimizer, options.pop("loss"), verbose=False, **options
    )
    loop.fit(small.data(), 1, validation=small.data(16, 16))

  refused(call, name, tmp_path)


@pytest.mark.parametrize(
  "names",
  [{"metrics": "mae"}, {"metrics": "accuracy"}],
)
def test_what_to_write_is_said(names):
  text = refused(lambda: small.loop(**names), "metrics")
  assert f"a list, as metrics=[{names['metrics']!r}]" in text


class Through(keras.layers.Layer):
  """A layer that no gradient passes."""

  def __init__(self, function):
    super().__init__()
    self._function = function

  def call(self, x):
    return self._function(x)


def behind(function):
  return keras.Sequential(
    [keras.Input((8,)), keras.layers.Dense(1), Through(function)]
  )


def frozen():
  made = small.model()
  made.trainable = False
  return made


@pytest.mark.parametrize("engine", ["auto", "graph"])
@pytest.mark.parametrize(
  ("net", "loss"),
  [
    (lambda: behind(tf.stop_gradient), "mse"),
    (lambda: behind(tf.round), "mse"),
    (lambda: behind(lambda x: tf.cast(x > 0, tf.float32)), "mse"),
    (small.model, lambda y, f: 1.0),
    (small.model, lambda y, f: tf.reduce_mean(tf.cast(y, tf.float32))),
    (small.model, lambda y, f: tf.constant(f.numpy().mean())),
  ],
)
def test_a_loss_that_no_weight_changes(net, loss, engine, tmp_path):
  loop = trainloop.TrainLoop(
    net, "sgd", loss, workdir=tmp_path / "new", compile=engine, verbose=0
  )
  x = small.arrays(16)[0]
  data = trainloop.ArrayData(x, x[:, :1], batch_size=8)
  text = refused(lambda: loop.fit(data, 1), "loss", tmp_path)
  assert "no gradient reaches any of the " in text


def test_a_loss_of_training_alone_is_one():
  class OnlyTraining(keras.layers.Layer):
    def call(self, x, training=None):
      return x if training else tf.stop_gradient(x)

  net = keras.Sequential(
    [keras.Input((8,)), keras.layers.Dense(3), OnlyTraining()]
  )
  loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
  loop = small.loop(net, loss=loss, metrics=None)
  loop.fit(small.data(), 1)
  assert loop.global_step == 12


def dataset(*shapes, spec=(None, None)):
  """A dataset of batches of these shapes; its lengths are not known."""

  def generate():
    for shape in shapes:
      yield np.zeros(shape, np.float32), np.zeros(shape[:1], np.int64)

  specs = (tf.TensorSpec(spec), tf.TensorSpec([None], tf.int64))
  return tf.data.Dataset.from_generator(generate, output_signature=specs)


_WORDS = np.array(["a", "b", "c", "d"])
_SLICES = tf.data.Dataset.from_tensor_slices


@pytest.mark.parametrize(
  ("data", "name"),
  [
    (lambda: _SLICES((_WORDS, [0, 1, 2, 0])).batch(2), "x"),
    (lambda: _SLICES((_WORDS[:, None], [0, 1, 2, 0])).batch(2), "x"),
    (lambda: _SLICES((_X[:4], _WORDS)).batch(2), "y"),
    (lambda: _SLICES((_X[:4], _WORDS[:, None])).batch(2), "y"),
    (lambda: dataset((4, 8), spec=None), "data"),
    (lambda: dataset((4, 8), (4, 8, 1), spec=None), "data"),
    (lambda: _SLICES((_X[:, 0], _Y)), "data"),
    (lambda: dataset((0, 8)), "x"),
    (lambda: dataset((4, 0)), "x"),
    (lambda: dataset((4, 7)), "x"),
    (lambda: _SLICES((np.zeros((8, 0), "f"), _Y[:8])).batch(4), "x"),
    (lambda: trainloop.ArrayData(np.zeros((8, 0)), _Y[:8], batch_size=4), "x"),
    (lambda: trainloop.ArrayData(_X, np.zeros((16, 0)), batch_size=4), "y"),
    (lambda: _SLICES({"x": _X, "y": _Y}).batch(4), "x"),
    (lambda: _SLICES(_X).batch(4), "y"),
    (lambda: _DATASET.take(0), "data"),
    (lambda: _DATASET.filter(lambda x, y: False), "data"),
    (lambda: [_X, _Y], "data"),
    (lambda: (_X, _Y), "data"),
    (lambda: iter([(_X, _Y)]), "data"),
    (lambda: None, "data"),
  ],
)
def test_data_that_does_not_fit(data, name, tmp_path):
  loop = small.loop(workdir=tmp_path / "new")
  refused(lambda: loop.fit(data(), 1), name, tmp_path)
  assert loop.global_step == 0


@pytest.mark.parametrize(
  ("call", "name"),
  [
    (lambda loop, data: loop.fit(data, 1), "data"),
    (lambda loop, data: loop.fit(data, 1, steps_per_epoch=4), "data"),
    (lambda loop, data: loop.fit(small.data(), 1, validation=data),
     "validation"),
    (lambda loop, data: loop.evaluate(data), "data"),
  ],
)  # fmt: skip
@pytest.mark.parametrize(
  "shapes", [[(8, 8), (8, 8), (8, 7)], [(8, 8), (5, 8), (8, 9), (8, 8)]]
)
def test_a_later_batch_that_does_not_fit_is_named(call, name, shapes):
  text = refused(lambda: call(small.loop(), dataset(*shapes)), name)
  assert "each batch; batch 2 is not (" in text
  assert text.endswith(f"got [{shapes[2]}, (8,)]")


def test_a_model_of_frozen_weights():
  loop = small.loop(frozen())
  text = refused(lambda: loop.fit(small.data(), 1), "model")
  assert "with trainable weights" in text


def broken(*arguments):
  raise ValueError("mine")


def test_what_a_users_own_code_raises_is_theirs(tmp_path):
  layer = keras.Sequential([keras.Input((8,)), keras.layers.Dense(3)])
  for options in (
    {"loss": broken},
    {"metrics": [broken]},
    {"loss": None, "metrics": None, "step": broken},
    {"net": broken},
    {"optimizer": broken},
    {"schedule": recipes.function(broken)},
    {"on_window": broken},
    {"on_epoch": broken},
    {"callbacks": [keras.callbacks.LambdaCallback(on_epoch_end=broken)]},
  ):
    options = {"net": layer, **options}
    with pytest.raises(ValueError, match=r"^mine$") as caught:
      small.loop(**options).fit(small.data(), 1)
    names = [frame.f_globals["__name__"] for frame, _ in
             traceback.walk_tb(caught.value.__traceback__)]  # fmt: skip
    assert set(names) <= {__name__, small.__name__}, options
    last = traceback.extract_tb(caught.value.__traceback__)[-1]
    assert last.line == 'raise ValueError("mine")'


_OPS = "must be made of TensorFlow or Keras ops, as it is compiled"


def branches(y, f):
  total = tf.reduce_mean(f)
  if total > 0:
    return total
  return -total


def numbers(y, f):
  return np.mean(np.asarray(f))


def read(y, f):
  return tf.constant(f.numpy()) * tf.reduce_mean(f)


@pytest.mark.parametrize("engine", ["auto", "graph"])
@pytest.mark.parametrize(
  ("options", "name"),
  [
    ({"loss": branches}, "loss"),
    ({"loss": read}, "loss"),
    ({"metrics": [branches]}, "metrics"),
    ({"metrics": [numbers]}, "metrics"),
    ({"metrics": [read]}, "metrics"),
  ],
)
def test_what_cannot_be_compiled_is_named(options, name, engine):
  loop = small.loop(compile=engine, **options)
  text = refused(lambda: loop.fit(small.data(), 1), name)
  assert _OPS in text and "of test_bad_input.py)" in text
  assert loop.global_step == 0


@pytest.mark.parametrize(
  ("call", "name"),
  [
    (lambda: trainloop.ShardedData(lambda: None, 3), "read"),
    (lambda: trainloop.ShardedData("files", 3), "read"),
    (lambda: trainloop.ShardedData(lambda context: None, 3), "read"),
    (lambda: trainloop.ShardedData(lambda context: _DATASET, 2**61),
     "steps_per_epoch"),
    (lambda: trainloop.StopOnSignals(lambda signal: None), "stop"),
    (lambda: trainloop.StopOnSignals(None), "stop"),
    (lambda: trainloop.sweep_learning_rate(small.model(), _DATASET), "loop"),
    (lambda: trainloop.compare_learning_rates({"a": 1}, _DATASET), "loop"),
    (lambda: trainloop.sweep_learning_rate(small.loop(), _DATASET, steps=2**40),
     "steps"),
  ],
)  # fmt: skip
def test_other_calls(call, name):
  refused(call, name)
