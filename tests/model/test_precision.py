"""Layers in bfloat16 or float16, and the loss scale that float16 needs."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import kernels
import trainloop
from support import interruption, small, workdirs
from trainloop.model import loss_scale, precision
from trainloop.workdir.tensorboard import event_file

STEPS = 60  # 10 epochs of 6
GROWTH = 7


def loud():
  """Some examples are so large that their scaled gradients overflow."""
  data = small.data(batch_size=16)
  data.arrays[0][:40] *= 40
  return data


def make(engine, steps_per_loop=7, net=None, **options):
  return small.loop(
    (lambda: small.model(rich=True)) if net is None else net,
    keras.optimizers.Adam(),
    schedule=kernels.OneCycle(0.01, STEPS),
    steps_per_loop=steps_per_loop,
    compile=engine,
    **{"mixed_precision": "float16", **options},
  )


def fit(loop):
  """A run in which the scale grows sooner."""
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(loss_scale, "GROWTH_STEPS", GROWTH)
    return loop.fit(loud(), 10, validation=small.data(32, 16, seed=1))


@pytest.fixture(scope="module", params=["graph", "xla"])
def run(request, tmp_path_factory):
  """(engine, workdir, loop, history)."""
  workdir = tmp_path_factory.mktemp(request.param)
  loop = make(request.param, workdir=workdir)
  return request.param, workdir, loop, fit(loop)


def scales(skipped):
  """The scale after each update, from Keras' rule in plain Python."""
  found, scale, good = [], 2.0**15, 0
  for refused in skipped:
    if refused:
      scale, good = scale / 2, 0
    elif good == GROWTH - 1:
      scale, good = scale * 2, 0
    else:
      good += 1
    found.append(scale)
  return np.array(found), good


def test_an_overflow_is_passed_over_and_halves_the_scale(run):
  _, workdir, loop, history = run
  rows, state = history.rows, loop.trainee.state
  gone = rows["skipped"] == 1
  assert loop.global_step == STEPS
  assert 3 <= gone.sum() < STEPS / 2
  assert int(loop.optimizer.iterations.numpy()) == STEPS - gone.sum()
  assert int(state.clock.skipped.numpy()) == gone.sum()
  assert np.isfinite(rows["loss"]).all()
  assert np.isfinite(rows["grad_norm"][~gone]).all()
  assert not np.isfinite(rows["grad_norm"][gone]).any()
  want, good = scales(gone)
  assert want.max() > want.min() and (np.diff(want) > 0).any()
  assert float(state.loss_scale.value.numpy()) == want[-1]
  assert int(state.loss_scale.good.numpy()) == good
  steps, values = workdirs.scalars(workdir / "train")[event_file.LOSS_SCALE]
  assert steps == list(range(5, STEPS, 6))
  assert values.tolist() == want[5::6].tolist()


def test_weights_and_gradients_are_float32(run):
  _, _, loop, _ = run
  assert {v.dtype for v in loop.model.trainable_variables} == {"float32"}
  assert {v.dtype for v in loop.optimizer.variables[2:]} == {"float32"}
  assert loop.model.layers[0].compute_dtype == "float16"
  assert keras.config.dtype_policy().name == "float32"
  assert loop.traces == 1


def test_the_window_does_not_matter(run):
  engine, _, loop, history = run
  other = make(engine, steps_per_loop=1)
  again = fit(other)
  assert small.state_of(other) == small.state_of(loop)
  for name, values in history.rows.items():
    assert again.rows[name].tobytes() == values.tobytes(), name


def test_cut_off_it_is_the_run_that_was_not(run, tmp_path):
  engine, workdir, loop, history = run
  interruption.cut_before(5, lambda: fit(make(engine, workdir=tmp_path)))
  other = make(engine, workdir=tmp_path)
  again = fit(other)
  assert other.resumed_from
  assert small.state_of(other) == small.state_of(loop)
  for name, values in history.rows.items():
    assert again.rows[name].tobytes() == values.tobytes(), name
  assert workdirs.series(tmp_path) == workdirs.series(workdir)


@pytest.mark.parametrize("engine", ["graph", "xla"])
def test_an_overflow_leaves_everything_as_it_was(engine, monkeypatch):
  monkeypatch.setattr(loss_scale, "FIRST", 2.0**100)
  loop = make(engine)
  loop.evaluate(small.data(32, 16))
  before = small.digest(loop.model.variables)
  history = loop.fit(small.data(96, 16), 1)
  assert history.rows["skipped"].tolist() == [1.0] * 6
  assert small.digest(loop.model.variables) == before
  assert not any(np.any(v) for v in loop.optimizer.variables[2:])
  assert history.epochs["accuracy"].tolist() == [0.0]
  assert float(loop.trainee.state.loss_scale.value.numpy()) == 2.0**94


def steep(y_true, y_pred):
  """Finite, while its gradient is not, whatever it is multiplied by."""
  return tf.sqrt(0.0 * tf.reduce_mean(y_pred, axis=-1))


def test_what_no_scale_helps_obeys_on_nonfinite(monkeypatch):
  monkeypatch.setattr(loss_scale, "FIRST", 4.0)
  options = {"loss": steep, "metrics": None}
  loop = make("graph", **options)
  with pytest.raises(trainloop.NonFiniteError, match="update 2 is not") as hit:
    loop.fit(small.data(), 1)
  assert hit.value.step == 2 == loop.global_step
  loop = make("graph", on_nonfinite="skip", **options)
  assert loop.fit(small.data(), 1).rows["skipped"].sum() == 12
  assert float(loop.trainee.state.loss_scale.value.numpy()) == 1.0


def plain():
  head = keras.layers.Dense(3, activation="softmax")
  return keras.Sequential([keras.layers.Input((8,)), head])


def test_a_loss_that_is_not_finite_obeys_on_nonfinite(monkeypatch):
  monkeypatch.setattr(loss_scale, "FIRST", 256.0)
  data = small.data(shuffle=False)
  data.arrays[0][17] = np.inf  # the third batch
  loop = make("graph", net=plain)
  with pytest.raises(trainloop.NonFiniteError, match="update 2 is not"):
    loop.fit(data, 1)
  loop = make("graph", net=plain, on_nonfinite="skip")
  assert np.flatnonzero(loop.fit(data, 1).rows["skipped"]).tolist() == [2]
  # It says nothing about the scale.
  assert float(loop.trainee.state.loss_scale.value.numpy()) == 256.0


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
@pytest.mark.parametrize("accumulate", [1, 4])
def test_it_is_about_the_run_in_float32(precision, accumulate, monkeypatch):
  monkeypatch.setattr(loss_scale, "FIRST", 256.0)

  def train(**options):
    loop = small.loop(
      small.model,
      keras.optimizers.SGD(0.1, momentum=0.9, global_clipnorm=0.3),
      compile="graph",
      **options,
    )
    return loop, loop.fit(small.data(batch_size=16), 4).rows

  _, want = train()
  loop, rows = train(mixed_precision=precision, accumulate=accumulate)
  assert not rows["skipped"].any()
  assert rows["loss"].tobytes() != want["loss"].tobytes()
  for name in ("loss", "grad_norm"):  # unscaled before norm and clipping
    np.testing.assert_allclose(rows[name], want[name], rtol=0.1, atol=0.01)
  assert (loop.trainee.state.loss_scale is None) == (precision == "bfloat16")


class Late(keras.Model):
  """Makes its layers when it is built."""

  def build(self, shape):
    self.head = keras.layers.Dense(3, activation="softmax")
    self.head.build(shape)

  def call(self, x):
    return self.head(x)


def test_layers_made_late_have_the_policy():
  loop = make("graph", net=Late, mixed_precision="bfloat16")
  loop.evaluate(small.data())
  assert loop.model.head.compute_dtype == "bfloat16"


def under(policy, make_model=small.model):
  keras.config.set_dtype_policy(policy)
  try:
    return make_model()
  finally:
    keras.config.set_dtype_policy("float32")


def test_ready_models_of_the_policy_are_taken():
  head = keras.layers.Dense(3, activation="softmax", dtype="float32")
  net = under(
    "mixed_float16",
    lambda: keras.Sequential([small.model(), keras.layers.Flatten(), head]),
  )
  loop = make("graph", net=net)
  assert loop.fit(small.data(), 1).rows["skipped"].sum() == 0


@pytest.mark.parametrize(
  ("policy", "precision", "line"),
  [
    (
      "float32",
      "float16",
      "`model` must be of layers of .*'mixed_float16'",
    ),
    ("float32", "bfloat16", "`model` must be .* 'mixed_bfloat16'.*'float32'"),
    ("mixed_float16", "bfloat16", "`model` must be .*; got 'mixed_float16'"),
    ("mixed_float16", None, "`mixed_precision` must be 'float16', the prec"),
    ("float32", "half", "`mixed_precision` must be one of bfloat16, float16"),
    ("float32", 16, "`mixed_precision` must be one of bfloat16, float16"),
  ],
)
def test_another_policy_is_refused(policy, precision, line):
  with pytest.raises(ValueError, match=line) as hit:
    make("graph", net=under(policy), mixed_precision=precision)
  assert "\n" not in str(hit.value)
  assert keras.config.dtype_policy().name == "float32"


def test_a_scale_of_the_optimizers_own_is_refused():
  plain = keras.optimizers.SGD
  for line, optimizer in (
    ("loss_scale_factor` must be None", plain(loss_scale_factor=8.0)),
    ("a plain optimizer", keras.optimizers.LossScaleOptimizer(plain())),
  ):
    with pytest.raises(ValueError, match=line):
      small.loop(small.model, optimizer, mixed_precision="float16")


def test_another_precision_is_another_run(tmp_path):
  options = {"workdir": tmp_path, "net": small.model}
  make("graph", mixed_precision="bfloat16", **options).fit(small.data(), 1)
  with pytest.raises(ValueError, match="`mixed_precision` must be 'bfloat16'"):
    make("graph", mixed_precision=None, **options).fit(small.data(), 1)


def test_the_scale_stays_in_its_range():
  scale = loss_scale.LossScale()
  scale.value.assign(loss_scale.MOST)
  scale.good.assign(loss_scale.GROWTH_STEPS - 1)
  scale.record(tf.constant(True), tf.constant(False))
  assert float(scale.value.numpy()) == loss_scale.MOST
  assert int(scale.good.numpy()) == 0
  scale.value.assign(1.0)
  false, loss = tf.constant(False), tf.constant(0.5)
  assert not scale.overflowed(false, loss)
  scale.value.assign(2.0)
  assert scale.overflowed(false, loss)
  assert not scale.overflowed(false, loss * np.inf)


@pytest.fixture
def floatx():
  yield keras.config.set_floatx
  keras.config.set_floatx("float32")


@pytest.mark.parametrize("name", ["float64", "float16", "bfloat16"])
def test_another_default_type_is_refused_in_one_line(floatx, name):
  plain = precision.Numerics()
  floatx(name)
  for call in (precision.Numerics, lambda: plain.check_model(None)):
    with pytest.raises(ValueError, match="set_floatx") as caught:
      call()
    assert name in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("policy", ["float16", "mixed_float16"])
def test_layers_in_float16_need_the_loss_scale(policy):
  layers = [keras.layers.Dense(2), keras.layers.Dense(1, dtype=policy)]
  model = keras.Sequential([keras.Input((3,)), *layers])
  with pytest.raises(ValueError, match=r"mixed_precision.*scales the loss"):
    precision.Numerics().check_model(model)


@pytest.mark.parametrize("policy", ["float32", "bfloat16", "mixed_bfloat16"])
def test_other_layers_need_none(policy):
  layer = keras.layers.Dense(1, dtype=policy)
  model = keras.Sequential([keras.Input((3,)), layer])
  precision.Numerics().check_model(model)
