"""What sends a run to the graph engine, and what an explicit XLA says to it.

The whole update belongs to the rule: model, loss, metrics, `step`,
regularisers, constraints, the optimizer. What stands in an evaluation alone
sends that to the graph.
"""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

from support import small

X, Y = small.arrays(32)


def through_python(values):
  seen = tf.stop_gradient(values)
  seen = tf.numpy_function(lambda v: v, [seen], values.dtype)
  return values + 0.0 * tf.ensure_shape(seen, values.shape)


class Layer(keras.layers.Layer):
  def __init__(self, does):
    super().__init__()
    self._does = does

  def call(self, x):
    return self._does(x)


class AtRest(Layer):
  def call(self, x, training=False):
    return x if training else self._does(x)


class Metric(keras.metrics.Mean):
  """A mean of 1, by an update or a result that does something else, too."""

  def __init__(self, update=None, result=None, reset=None, name="own"):
    super().__init__(name=name)
    self._update, self._result, self._reset = update, result, reset

  def update_state(self, y_true, y_pred, sample_weight=None):
    one = tf.reduce_mean(0.0 * y_pred + 1.0)
    super().update_state(self._update(one) if self._update else one)

  def result(self):
    found = super().result()
    return self._result(found) if self._result else found

  def reset_state(self):
    if self._reset:
      self._reset(tf.constant(1.0))
    super().reset_state()


def printed(value):
  tf.print("", end="")
  return value


def as_text(value):
  return tf.strings.to_number(tf.strings.as_string(value))


def hashed(value):
  text = tf.strings.as_string(value)
  return tf.cast(tf.strings.to_hash_bucket_fast(text, 1), tf.float32) + value


def eigen(value):
  """Has an op that XLA has no kernel for, and that no list names."""
  values = tf.linalg.eigvals(tf.einsum("bi,bj->bij", value, value))
  return value + 0.0 * tf.math.real(tf.stop_gradient(values))


def asserted(value):
  tf.debugging.Assert(tf.constant(True), [value])  # is known to hold
  tf.debugging.assert_less(tf.reduce_max(value), 1e9)
  return value


class Own(keras.optimizers.SGD):
  def update_step(self, gradient, variable, learning_rate):
    super().update_step(through_python(gradient), variable, learning_rate)


class Norm(keras.constraints.Constraint):
  def __call__(self, w):
    return printed(w)


def mse_like(does):
  def values(y, p):
    y = tf.one_hot(tf.cast(y, tf.int32), 3)
    return does(tf.reduce_mean(tf.square(p - y), axis=-1))

  return values


def step(does):
  def run(model, x, y, training):
    found = model(x, training=training)
    loss = keras.losses.sparse_categorical_crossentropy(y, found)
    return {"loss": loss, "own": does(loss)}

  return run


# What is given: options of the loop, of its model, and the op that decides.
CASES = {
  "py_function metric": ({"metrics": [Metric, through_python]}, {}, "PyFunc"),
  "print in a metric": ({"metrics": [Metric, printed]}, {}, "PrintV2"),
  "text in a metric": ({"metrics": [Metric, as_text]}, {}, "AsString"),
  "hash in a metric": ({"metrics": [Metric, hashed]}, {}, "AsString"),
  "assertion in a metric": ({"metrics": [Metric, asserted]}, {}, "Assert"),
  "metric's result": (
    {"metrics": [Metric, None, through_python]},
    {},
    "PyFunc",
  ),
  "metric's reset": (
    {"metrics": [Metric, None, None, printed]},
    {},
    "PrintV2",
  ),
  "function as metric": (
    {"metrics": [mse_like(through_python)]},
    {},
    "PyFunc",
  ),
  "loss": ({"loss": mse_like(through_python)}, {}, "PyFunc"),
  "step": ({"step": step(through_python)}, {}, "PyFunc"),
  "step's assertion": ({"step": step(asserted)}, {}, "Assert"),
  "layer": ({}, {"layer": printed}, "PrintV2"),
  "layer's assertion": ({}, {"layer": asserted}, "Assert"),
  "regulariser": (
    {},
    {"kernel_regularizer": lambda w: printed(tf.reduce_sum(w * w))},
    "PrintV2",
  ),
  "constraint": ({}, {"kernel_constraint": Norm()}, "PrintV2"),
  "optimizer": ({"optimizer": Own(0.1)}, {}, "PyFunc"),
}

# An op more at a place that has one: they are refused by the same line.
REFUSED = [
  pytest.param(case, marks=[pytest.mark.long] * (" in a " in case))
  for case in sorted(CASES)
]


# What is asked for; a rule that takes XLA runs what an explicit one runs.
ENGINES = ["auto", "graph", pytest.param("xla", marks=pytest.mark.long)]
# In an evaluation alone.
AT_REST = {"python": through_python, "assertion": asserted, "refused": eigen}


def make(options, parts, compile):
  options, parts = dict(options), dict(parts)
  layer = parts.pop("layer", None)
  if callable(layer) and not isinstance(layer, keras.layers.Layer):
    layer = Layer(layer)
  keras.utils.set_random_seed(0)
  net = keras.Sequential(
    [
      keras.layers.Input((8,)),
      *([] if layer is None else [layer]),
      keras.layers.Dense(3, activation="softmax", **parts),
    ]
  )
  kind, *given = options.get("metrics", [None])
  if kind is Metric:
    options["metrics"] = [Metric(*given)]
  if "step" in options:
    options.update(loss=None, metrics=None)
  kind = options.pop("optimizer", None)
  kind = Own(0.1) if kind is not None else keras.optimizers.SGD(0.1)
  return small.loop(net, kind, compile=compile, **options)


@pytest.mark.parametrize("case", sorted(CASES))
def test_what_xla_has_not_goes_to_the_graph(case):
  options, parts, op = CASES[case]
  loop = make(options, parts, "auto")
  data = small.data(32)
  history = loop.fit(data, 1, validation=small.data(20))
  assert loop.engine.name == "graph", loop.engine
  assert loop.engine.forced and op in loop.engine.reason
  assert np.isfinite(history.rows["loss"]).all()
  assert np.isfinite(loop.evaluate(data)["loss"])
  for name in ("own", "val_own"):
    if "metric" in case and "function" not in case:
      assert history.epochs[name] == [1.0], (name, history.epochs)


@pytest.mark.parametrize("case", REFUSED)
def test_xla_asked_for_is_refused_in_a_line(case, tmp_path):
  options, parts, op = CASES[case]
  workdir = tmp_path / "run"
  loop = make({**options, "workdir": str(workdir)}, parts, "xla")
  with pytest.raises(ValueError, match=op) as hit:
    loop.fit(small.data(32), 1)
  assert str(hit.value).startswith("`compile` must be 'graph' or 'auto' bec")
  assert "\n" not in str(hit.value) and not workdir.exists()


@pytest.mark.parametrize("case", ["layer", "py_function metric", "optimizer"])
def test_measure_measures_nothing_where_xla_cannot(case):
  options, parts, op = CASES[case]
  loop = make(options, parts, "measure")
  loop.fit(small.data(32), 1)
  assert loop.engine.name == "graph" and op in loop.engine.reason


@pytest.mark.parametrize("holds", [lambda x: True, lambda x: x.shape[-1] == 8])
def test_assertions_of_what_is_known_change_nothing(holds):
  def known(x):
    tf.debugging.Assert(tf.constant(holds(x)), [x])
    tf.debugging.assert_equal(tf.shape(x)[-1], 8)
    return x

  loop = make({}, {"layer": known}, "auto")
  loop.evaluate(small.data(32))
  assert loop.engine.name == "xla", loop.engine


def test_keras_own_parts_stay_in_xla():
  constraint = keras.constraints.MaxNorm(2.0)
  loop = make({}, {"kernel_constraint": constraint}, "auto")
  loop.fit(small.data(32), 1)
  assert loop.engine.name == "xla", loop.engine


def epochs_at_rest(does, compile):
  """The epochs of a fit whose layer does something in evaluations alone."""
  loop = make({}, {"layer": AtRest(does)}, compile)
  fitted = loop.fit(small.data(32), 2, validation=small.data(20))
  assert loop.engine.name == "xla", loop.engine
  return fitted.epochs


@pytest.fixture(scope="module")
def at_rest():
  """A function: engine -> the epochs of a layer that does nothing."""
  return functools.cache(lambda compile: epochs_at_rest(lambda x: x, compile))


@pytest.mark.parametrize(
  ("case", "compile"),
  [
    *((case, "auto") for case in AT_REST),
    ("refused", "xla"),
    pytest.param("python", "xla", marks=pytest.mark.long),
    pytest.param("assertion", "xla", marks=pytest.mark.long),
  ],
)
def test_an_evaluation_that_xla_has_not_goes_to_the_graph(
  at_rest, case, compile
):
  one, want = epochs_at_rest(AT_REST[case], compile), at_rest(compile)
  assert one["loss"].tobytes() == want["loss"].tobytes()
  for name in ("val_loss", "val_accuracy"):
    np.testing.assert_allclose(one[name], want[name], rtol=1e-6)


@pytest.mark.parametrize("compile", ENGINES)
@pytest.mark.parametrize("validates", [False, True])
def test_how_often_a_model_is_run_in_python(compile, validates):
  """Once to build it, then once for each program, when it is needed."""
  calls = []

  def counted(x):
    calls.append(x)
    return x

  loop = make({}, {"layer": counted}, compile)
  before = len(calls)
  loop.programs.build(small.data(32))
  (eager,) = calls[before:]
  assert hasattr(eager, "numpy")
  held = small.data(32) if validates else None
  for _ in range(2):
    loop.fit(small.data(32), 2, validation=held)
  traced = calls[before + 1 :]
  assert len(traced) == 1 + validates, traced


class Counting(keras.Model):
  """A model that notes each run of its `call`: whether it was eager."""

  def __init__(self):
    super().__init__()
    self.dense = keras.layers.Dense(3, activation="softmax")
    self.eager = []

  def build(self, shape):
    self.dense.build(shape)

  def call(self, x):
    self.eager.append(hasattr(x, "numpy"))
    return self.dense(x)


@pytest.mark.parametrize("compile", ENGINES)
@pytest.mark.parametrize("validates", [False, True])
def test_runs_of_a_model_before_its_first_update_is_told(compile, validates):
  runs, net = [], Counting()

  def told(_):
    runs.append(list(net.eager))

  loop = small.loop(
    net, keras.optimizers.SGD(0.1), compile=compile, on_window=told
  )
  held = small.data(32) if validates else None
  loop.fit(small.data(32), 1, validation=held)
  # In XLA a validation is compiled beside the window.
  early = validates and compile != "graph"
  assert runs[0] == [True, False] + [False] * early, runs
  assert net.eager == [True, False] + [False] * validates


def test_a_fit_that_is_done_compiles_nothing(tmp_path):
  for traces in (1, 0):
    loop = make({"workdir": tmp_path}, {}, "auto")
    loop.fit(small.data(32), 2, validation=small.data(32))
    assert loop.engine.name == "xla" and loop.traces == traces
  history = loop.fit(small.data(32), 1, validation=small.data(32))
  assert loop.traces == 1 and history.rows["step"].tolist() == [8, 9, 10, 11]
