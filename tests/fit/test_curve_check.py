"""A schedule's values: looked at before step 1, and again by each update."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

import kernels
import trainloop
from support import small
from trainloop.fit import curve_check

STEPS, BAD = 24, 7


@dataclasses.dataclass(frozen=True)
class Hit(kernels.Schedule):
  """0.1 and 0.9, and other values at one step."""

  rate: float = 0.1
  momentum: float | None = 0.9
  at: int = BAD

  total_steps = None

  def compute(self, step):
    def but(plain, value):
      plain, value = (tf.constant(v, tf.float64) for v in (plain, value))
      return tf.where(step == self.at, value, plain)

    momentum = None if self.momentum is None else but(0.9, self.momentum)
    return but(0.1, self.rate), momentum


@dataclasses.dataclass(frozen=True)
class Shaped(kernels.Schedule):
  """What a function makes of the steps."""

  make: object = None
  total_steps = None

  def compute(self, step):
    return self.make(tf.cast(step, tf.float64))


class OfKeras(keras.optimizers.schedules.LearningRateSchedule):
  """A schedule that breaks where nobody tried it."""

  def __call__(self, step):
    return tf.where(tf.cast(step, tf.int64) == BAD, np.nan, 0.1)

  def get_config(self):
    return {}


RATES = "`schedule` must give learning rates that are finite and >= 0 at every "
MOMENTA = "`schedule` must give momenta in \\[0, 1\\) at every step; got "
CURVES = {
  "nan": (Hit(np.nan), f"{RATES}step; got nan at its step 7"),
  "inf": (Hit(np.inf), f"{RATES}step; got inf at its step 7"),
  "beyond float32": (Hit(1e300), "got inf at its step 7"),
  "negative": (Hit(-0.1), "got -0.1 at its step 7"),
  "first": (Hit(-1.0, at=0), "got -1 at its step 0"),
  "last": (Hit(np.nan, at=STEPS - 1), "got nan at its step 23"),
  "momentum nan": (Hit(momentum=np.nan), f"{MOMENTA}nan at its step 7"),
  "momentum 1": (Hit(momentum=1.0), f"{MOMENTA}1 at its step 7"),
  "momentum negative": (Hit(momentum=-0.5), f"{MOMENTA}-0.5 at its step 7"),
  "inside another": (kernels.Scaled(Hit(np.nan), 0.5), "got nan at its step 7"),
  "Keras'": (kernels.from_keras(OfKeras()), "got nan at its step 7"),
  "complex": (
    Shaped(lambda t: (tf.cast(t, tf.complex128), None)),
    r"`Shaped.compute\(\)\[0\]` must be of a real dtype",
  ),
  "bools": (Shaped(lambda t: (t > 3, None)), "of a real dtype.*'bool'"),
  "nothing": (Shaped(lambda t: (None, None)), r"compute\(\)\[0\]` must be a t"),
  "one number": (Shaped(lambda t: (0.1, None)), "of the shape of `step`, "),
  "one momentum": (
    Shaped(lambda t: (0.1 + 0 * t, 0.9)),
    r"`Shaped.compute\(\)\[1\]` must be of the shape of `step`, .*`tf.fill",
  ),
  "rank": (Shaped(lambda t: (t[..., None], None)), "of the shape of `step`, "),
  "size": (Shaped(lambda t: (tf.ones([3]), None)), "of the shape of `step`, "),
}


@pytest.fixture(scope="module")
def plain():
  """A loop that is asked for one bad fit after another."""
  return small.loop(schedule=kernels.Constant(0.1), compile="graph")


@pytest.mark.parametrize("name", CURVES)
def test_a_curve_is_refused_before_step_1(plain, name):
  schedule, told = CURVES[name]
  before = small.digest(plain.model.variables)
  with pytest.raises(ValueError, match=told) as caught:
    plain.fit(small.data(), 2, schedule=schedule)
  assert "\n" not in str(caught.value)
  assert plain.global_step == 0 and plain.traces == 0
  assert small.digest(plain.model.variables) == before


def test_nothing_is_written_for_one(tmp_path):
  loop = small.loop(schedule=Hit(np.nan), workdir=tmp_path / "run")
  with pytest.raises(ValueError, match="got nan at its step 7"):
    loop.fit(small.data(), 2)
  assert not (tmp_path / "run").exists()


def test_only_the_steps_of_the_fit_are_asked():
  curve_check.check(Hit(np.nan), 0, BAD)
  curve_check.check(Hit(np.nan), BAD + 1, 2 * STEPS)
  with pytest.raises(ValueError, match="got nan at its step 7"):
    curve_check.check(Hit(np.nan), BAD, BAD + 1)


@dataclasses.dataclass(frozen=True)
class Cornered(Hit):
  """It says where it may jump."""

  def corners(self, steps):
    return [[self.at]]


@pytest.mark.parametrize(
  "schedule",
  [
    Hit(np.nan, at=123),
    Hit(np.nan, at=10**10 - 1),
    Cornered(np.nan, at=123_456_789),
    kernels.Join([kernels.Constant(0.1), Hit(np.nan, None, 0)], [123_456_789]),
  ],
  ids=["start", "end", "corner", "joined"],
)
def test_a_long_curve_is_looked_at_in_bounded_room(schedule):
  looked = curve_check._looked_at(schedule, 0, 10**10)
  assert len(looked) <= 1.5 * curve_check.EVERY
  with pytest.raises(ValueError, match="got nan at its step"):
    curve_check.check(schedule, 0, 10**10)


def test_momentum_of_the_optimizers_own():
  for optimizer in (keras.optimizers.SGD(momentum=np.nan),
                    keras.optimizers.Adam(beta_1=np.nan)):  # fmt: skip
    with pytest.raises(ValueError, match=r"optimizer\.(momentum|beta_1)` must"):
      small.loop(optimizer=optimizer)


@pytest.fixture
def unseen(monkeypatch):
  """Curves that the check before step 1 did not look at."""
  monkeypatch.setattr(curve_check, "check", lambda *steps: None)


def loop_of(engine, schedule, policy="raise", optimizer=None, **options):
  return small.loop(
    small.model(rich=True),
    optimizer,
    schedule=schedule,
    compile=engine,
    on_nonfinite=policy,
    **{"steps_per_loop": 5, **options},
  )


@pytest.fixture(scope="module", params=["graph", "xla"])
def seven(request):
  """The state after the seven updates before it."""
  loop, (x, y) = loop_of(request.param, Hit()), small.arrays()
  few = {"batch_size": 8, "shuffle": False}
  loop.fit(trainloop.ArrayData(x[: 8 * BAD], y[: 8 * BAD], **few), 1)
  assert loop.global_step == BAD
  return request.param, small.state_of(loop)


@pytest.mark.parametrize(
  ("schedule", "what"),
  [
    (Hit(np.nan), "learning rate nan"),
    (Hit(momentum=1e300), "momentum inf"),
    (Hit(momentum=np.nan), "momentum nan"),
  ],
)
def test_an_update_is_refused_and_said_why(unseen, seven, schedule, what):
  engine, state = seven
  loop = loop_of(engine, schedule)
  with pytest.raises(trainloop.NonFiniteError) as caught:
    loop.fit(small.data(shuffle=False), 2)
  told = str(caught.value)
  assert told.startswith(f"update 7 is not finite ({what}, loss 0.")
  assert told.endswith("the weights are those after step 6")
  assert caught.value.step == loop.global_step == BAD
  assert small.state_of(loop) == state


def test_the_scale_of_float16_is_not_blamed(unseen):
  """With micro-batches, too."""
  loop = small.loop(
    small.model,
    schedule=Hit(np.inf),
    mixed_precision="float16",
    accumulate=2,
    compile="graph",
  )
  with pytest.raises(trainloop.NonFiniteError, match=r"7 .*learning rate inf"):
    loop.fit(small.data(), 2)
  scale, skipped = loop.trainee.state.loss_scale, loop.history.rows["skipped"]
  overflows = np.flatnonzero(skipped)  # of the scale, before that update
  assert float(scale.value) == 2.0 ** (15 - len(overflows))
  assert int(scale.good) == BAD - 1 - max(overflows, default=-1)


def test_each_replica_refuses_it(unseen, two_replicas):
  loop = small.loop(
    small.model,
    lambda: keras.optimizers.SGD(0.1, momentum=0.9),
    schedule=Hit(np.nan),
    strategy=two_replicas,
    on_nonfinite="skip",
  )
  rows = loop.fit(small.data(), 1).rows
  assert np.flatnonzero(rows["skipped"]).tolist() == [BAD]
  for weight in loop.model.weights:
    copies = two_replicas.experimental_local_results(weight.value)
    assert np.isfinite(copies[0].numpy()).all()
    assert copies[0].numpy().tobytes() == copies[1].numpy().tobytes()


def test_weights_that_an_update_before_destroyed_are_said_to_be():
  """Its rate and gradient were finite, and their product was not."""
  net = keras.Sequential([keras.layers.Input((1,)), keras.layers.Dense(1)])
  x = np.full((8, 1), 1e10, np.float32)
  data = trainloop.ArrayData(x, x, batch_size=8)
  huge = keras.optimizers.SGD(1e38)
  loop = small.loop(net, huge, loss="mae", metrics=None, compile="graph")
  told = "the weights are those after step 0, where .*kernel is not finite"
  with pytest.raises(trainloop.NonFiniteError, match=told):
    loop.fit(data, 5)


@pytest.mark.parametrize("engine", ["graph", "xla"])
def test_skipped_it_leaves_all_as_it_was(unseen, engine):
  every = Shaped(lambda t: (t * np.nan, None))
  loop = loop_of(engine, every, "skip", keras.optimizers.Adam(0.25))
  loop.evaluate(small.data(32, 16))  # builds the state
  before = small.digest(loop.model.variables)
  rows = loop.fit(small.data(), 1).rows
  assert rows["skipped"].tolist() == [1.0] * 12
  assert np.isnan(rows["learning_rate"]).all()
  assert np.isfinite(rows["loss"]).all()
  assert small.digest(loop.model.variables) == before
  assert float(loop.optimizer.learning_rate.numpy()) == 0.25
  assert int(loop.optimizer.iterations.numpy()) == 0
