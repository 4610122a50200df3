"""Functions in the place of a library's: for one caller, and gone after it."""

import contextlib
import threading
import types

import keras
import pytest
import tensorflow as tf

from support import small
from trainloop.base import stand_ins
from trainloop.compiled import fast_random
from trainloop.model import reductions

NAMES = ("stateless_uniform", "stateless_normal", "stateless_truncated_normal")


def library():
  """TensorFlow's and Keras' functions as everybody sees them."""
  return [
    *(getattr(tf.random, name) for name in NAMES),
    tf.nn.experimental.stateless_dropout,
    keras.src.losses.loss.reduce_weighted_values,
  ]


@pytest.fixture
def module():
  return types.SimpleNamespace(function=lambda: "own")


def own_thread(call):
  """What a function gives in another thread."""
  found = []
  thread = threading.Thread(target=lambda: found.append(call()))
  thread.start()
  thread.join()
  return found[0]


def test_only_those_who_asked_get_it(module):
  own, stand_in = module.function, stand_ins.StandIn(module, "function")
  with stand_in.used(lambda: "mine", stand_ins.of_this_thread()):
    assert module.function() == "mine"
    assert own_thread(lambda: module.function()) == "own"
    assert stand_in.own is own
    with stand_in.used(lambda: "inner", stand_ins.of_this_thread()):
      assert module.function() == "inner"
    assert module.function() == "mine"
  assert module.function is own is stand_in.own


@pytest.mark.parametrize("first", [0, 1])
def test_whoever_ends_first_leaves_the_library_as_it_was(module, first):
  own, stand_in = module.function, stand_ins.StandIn(module, "function")
  stacks = [contextlib.ExitStack(), contextlib.ExitStack()]
  for i, stack in enumerate(stacks):
    use = stand_in.used(lambda i=i: i, stand_ins.of_this_thread())
    stack.enter_context(use)
  stacks[first].close()
  assert module.function() == 1 - first
  stacks[1 - first].close()
  assert module.function is own


def test_after_an_error_and_beside_another_s_patch(module):
  own, stand_in = module.function, stand_ins.StandIn(module, "function")
  used = stand_in.used(lambda: 1, stand_ins.of_this_thread())
  with pytest.raises(KeyError), used:
    raise KeyError
  assert module.function is own
  with stand_in.used(lambda: 1, stand_ins.of_this_thread()):
    module.function = theirs = lambda: "theirs"
  assert module.function is theirs


def algorithm():
  """The algorithm of a draw that is traced now; Philox and the like are 3."""
  traced = tf.function(lambda: keras.random.normal([4], seed=3))
  (op,) = [
    op
    for op in traced.get_concrete_function().graph.get_operations()
    if op.type == "StatelessRandomNormalV2"
  ]
  return int(tf.get_static_value(op.inputs[-1]))


def test_a_trace_beside_draws_as_it_did():
  """Another thread's, and what is computed at once; by hand the trace's own."""
  found = {}

  def eager():
    with tf.init_scope():
      return keras.random.normal([4], seed=3).numpy().tobytes()

  @tf.function(autograph=False)
  def traced():
    with fast_random.vectorised():
      found["own"] = algorithm()
      found["beside"] = own_thread(algorithm)
      found["eager"] = eager()
      # A replica's thread traces into the same graph.
      graph = tf.compat.v1.get_default_graph()

      def replica():
        with graph.as_default():
          return algorithm()

      found["replica"] = own_thread(replica)
    return tf.constant(0)

  before, plain = library(), eager()
  traced()
  assert found == {"own": 2, "beside": 3, "eager": plain, "replica": 2}
  assert library() == before


def test_two_fits_at_once_leave_nothing_behind():
  """Both are traced in XLA with random layers; each is the run it is alone."""

  def run():
    loop = small.loop(nets.pop(), compile="xla")
    loop.fit(small.data(), 1)
    return small.state_of(loop)

  before = library()
  nets = [small.model(rich=True) for _ in range(3)]
  alone, found = run(), []
  threads = [
    threading.Thread(target=lambda: found.append(run())) for _ in range(2)
  ]
  for thread in threads:
    thread.start()
  for thread in threads:
    thread.join()
  assert found == [alone, alone]
  assert library() == before


def test_a_loss_beside_is_reduced_as_keras_does():
  """While the losses of a loop's parts are put together otherwise."""
  y, p = tf.zeros([4]), tf.fill([4], 2.0)
  loss = keras.losses.MeanSquaredError()
  with reductions._reduced_by(lambda *args, **options: "parts"):
    assert loss(y, p) == "parts"
    assert float(own_thread(lambda: loss(y, p))) == 4.0
  assert float(loss(y, p)) == 4.0
