"""Each loop's own loss and metrics of a model that others compile, too."""

import gc
import weakref

import keras
import pytest

import kernels
from support import small
from trainloop.model import compile_state


def test_keras_compiles_into_these_attributes():
  """Notices when `Model.compile` sets others."""
  seen = set()

  class Seen(keras.Model):
    def __setattr__(self, name, value):
      seen.add(name)
      super().__setattr__(name, value)

  net = Seen()
  seen.clear()
  net.compile("sgd", "mse", metrics=["mae"])
  # A property over `_run_eagerly`, one over `_jit_compile`, a user's wish.
  others = {"jit_compile", "run_eagerly", "stop_training"}
  found = {name for name in seen - others if not name.startswith("_self_")}
  assert found | {"_run_eagerly"} == set(compile_state.STATE)
  assert "_run_eagerly" in vars(net)


def far(y, p):
  """A loss that is another one by far."""
  return 100.0 + 0 * keras.ops.sum(p, axis=-1)


def loop_of(net, **options):
  options = {"schedule": kernels.Constant(0.1), "compile": "graph", **options}
  return small.loop(net, **options)


@pytest.fixture(scope="module")
def alone():
  """(state, epochs, evaluation) of two epochs that nobody disturbs."""
  loop = loop_of(small.model())
  epochs = [loop.fit(small.data(), 1).epochs for _ in range(2)]
  return small.state_of(loop), epochs, loop.evaluate(small.data(32, 16))


def another_loop(net, loop):
  other = loop_of(net, optimizer=keras.optimizers.Adam(), loss=far, metrics=[])
  assert "accuracy" not in other.evaluate(small.data(32, 16))


def a_user(net, loop):
  net.compile("adam", "mse", metrics=["mae"])


def a_deleted_loop(net, loop):
  other = loop_of(net, optimizer=keras.optimizers.Adam(), loss=far)
  other.evaluate(small.data(32, 16))
  gone = weakref.ref(other)
  del other
  gc.collect()
  assert gone() is None


def a_refused_loop(net, loop):
  with pytest.raises(ValueError, match="no such loss"):
    loop_of(net, loss="no such loss").evaluate(small.data(32, 16))


def kerass_evaluation(net, loop):
  net.evaluate(*small.arrays(), verbose=0)


def two_outputs_of_it(net, loop):
  """Another model with the same layers, and a loss of its own."""
  other = keras.Model(net.inputs, net.outputs)
  loop_of(other, optimizer="adam", loss=far).evaluate(small.data(32, 16))


@pytest.mark.parametrize(
  "disturb",
  [
    another_loop,
    a_user,
    a_deleted_loop,
    a_refused_loop,
    kerass_evaluation,
    two_outputs_of_it,
  ],
)
def test_a_loop_trains_what_it_was_made_for(alone, disturb):
  """Disturbed before its first fit, and between two."""
  net = small.model()
  loop, epochs = loop_of(net), []
  for _ in range(2):
    disturb(net, loop)
    compiled = {name: vars(net).get(name) for name in compile_state.STATE}
    epochs.append(loop.fit(small.data(), 1).epochs)
    now = {name: vars(net).get(name) for name in compile_state.STATE}
    assert all(now[name] is compiled[name] for name in compile_state.STATE)
  state, wanted, evaluation = alone
  for mine, theirs in zip(epochs, wanted, strict=True):
    assert list(mine) == list(theirs)
    for name, values in theirs.items():
      assert mine[name].tobytes() == values.tobytes(), name
  assert loop.evaluate(small.data(32, 16)) == evaluation
  assert small.state_of(loop) == state


def test_what_a_loop_is_not_given_is_not_another_loop_s():
  net = small.model()
  loop_of(net, metrics=["accuracy"])
  assert list(loop_of(net, metrics=None).evaluate(small.data())) == ["loss"]
  with pytest.raises(ValueError, match="loss"):
    loop_of(net, loss=None, metrics=None).fit(small.data(), 1)


def test_what_its_user_has_compiled_is_left_to_them():
  net = small.model()
  net.compile("adam", "mse", metrics=["mae"])
  optimizer = net.optimizer
  loop = loop_of(net, on_epoch=lambda told: net.compile(optimizer, "mae"))
  assert net.optimizer is loop.optimizer
  loop.fit(small.data(), 2)
  assert net.loss == "mae" and net.optimizer is optimizer


def test_a_shared_optimizer_is_refused_for_another_model():
  optimizer = keras.optimizers.Adam(0.1)
  small.loop(small.model(), optimizer, compile="graph").fit(small.data(), 1)
  other = small.loop(small.model(), optimizer, compile="graph")
  with pytest.raises(ValueError, match="`optimizer` must be one that has no"):
    other.fit(small.data(), 1)


class OwnCompile(keras.Model):
  """As Keras' examples of two networks are written."""

  def __init__(self):
    super().__init__()
    self.dense = keras.layers.Dense(3, activation="softmax")

  def compile(self, d_optimizer, g_optimizer, loss_fn):
    super().compile()
    self.optimizers = d_optimizer, g_optimizer, loss_fn

  def call(self, x):
    return self.dense(x)


class Wrapped(OwnCompile):
  """Its `compile` takes what Keras' takes, and does more."""

  def compile(self, optimizer, loss, **options):
    keras.Model.compile(self, optimizer=optimizer, loss=loss, **options)
    self.seen = True


def test_a_compile_of_the_models_own_is_called_or_refused():
  with pytest.raises(ValueError, match="one whose `compile` takes auto"):
    small.loop(OwnCompile())
  loop = small.loop(Wrapped(), compile="graph")
  loop.fit(small.data(), 1)
  assert loop.model.seen
