"""One call at a time moves a model: from threads, from callbacks, in traces."""

import threading

import keras
import numpy as np
import pytest
import tensorflow as tf

import kernels
import trainloop
from support import small
from trainloop.model import exclusive_calls

OWN = "must be called after the `fit` that is running has ended"
OTHERS = f"{OWN}, another loop's with the same layers, optimizer or metrics"


def loop_of(net=None, **options):
  net = small.model() if net is None else net
  return small.loop(net, schedule=kernels.Constant(0.1), compile="graph",
                    steps_per_loop=5, **options)  # fmt: skip


@pytest.fixture(scope="module")
def alone():
  """The state after three epochs that nobody disturbs."""
  loop = loop_of()
  loop.fit(small.data(), 3)
  return small.state_of(loop)


@pytest.fixture(autouse=True)
def nothing_is_held():
  yield
  assert exclusive_calls._holders == {}


def told(call):
  """The refusal of a call, one line; "" if it is allowed."""
  try:
    call()
  except ValueError as error:
    assert "\n" not in str(error)
    return str(error)
  return ""


def in_a_thread(call):
  found = []
  thread = threading.Thread(target=lambda: found.append(told(call)))
  thread.start()
  thread.join()
  return found[0]


def test_in_on_epoch_all_that_moves_is_refused_and_the_fit_goes_on(alone):
  """And what reads alone changes no bit."""
  net, found = small.model(), {}

  def on_epoch(values):
    if values["epoch"] != 1:
      return
    other = loop_of(net, metrics=None)
    sharing = loop_of(keras.Sequential([net.layers[0], keras.layers.Dense(3)]))
    calls = {
      "fit": lambda: loop.fit(small.data(), 1),
      "sweep": lambda: trainloop.sweep_learning_rate(
        loop, small.data(), steps=4
      ),
      "restore": lambda: loop.restore_epoch(1),
      "another's": lambda: other.fit(small.data(), 1),
      "a layer's": lambda: sharing.fit(small.data(), 1),
      "thread": lambda: in_a_thread(lambda: loop.evaluate(small.data())),
    }
    found.update({name: told(call) for name, call in calls.items()})
    found["thread"] = in_a_thread(lambda: loop.evaluate(small.data()))
    found["read"] = [
      loop.evaluate(train),
      loop.evaluate(small.data(32, 16)),
      loop.evaluate(
        tf.data.Dataset.from_tensor_slices(small.arrays()).batch(7)
      ),
      other.evaluate(train),
      net.predict(small.arrays()[0], verbose=0),
    ]

  loop, train = loop_of(net, on_epoch=on_epoch), small.data()
  history = loop.fit(train, 3)
  assert history.stop_reason == "completed" and loop.global_step == 36
  assert small.state_of(loop) == alone
  assert found["fit"] == f"`fit` {OWN}; got a call inside it"
  assert found["sweep"].startswith(f"`sweep_learning_rate` {OWN}; got a call i")
  assert found["restore"].startswith(f"`restore_epoch` {OWN}; got a call ins")
  for name in ("another's", "a layer's"):
    assert found[name] == f"`fit` {OTHERS}; got a call inside it"
  where = "or in `on_epoch`; got a call from another thread"
  assert found["thread"] == f"`evaluate` {OWN}, {where}"
  read = found["read"]
  assert read[0]["loss"] == pytest.approx(read[2]["loss"], rel=1e-6)
  assert read[3]["loss"] == pytest.approx(read[0]["loss"], rel=1e-6)


class Fits(keras.callbacks.Callback):
  """Calls something where Keras would call it."""

  def __init__(self, call):
    super().__init__()
    self.call = call

  def on_train_begin(self, logs=None):
    self.call()


@pytest.mark.parametrize("place", ["on_epoch", "on_window", "callbacks"])
def test_a_refusal_that_nobody_catches_ends_the_fit_as_any_error(place):
  def call(values=None):
    loop.fit(small.data(), 1)

  options = {place: [Fits(call)] if place == "callbacks" else call}
  loop = loop_of(**options)
  with pytest.raises(ValueError, match=f"`fit` {OWN}; got a call") as caught:
    loop.fit(small.data(), 2)
  assert "\n" not in str(caught.value)
  step = loop.global_step
  steps = loop.history.rows["step"]
  assert steps.tolist() == list(range(step))
  same = loop_of()
  if step:
    few = small.data()
    same.fit(few, 1)
    if step == 12:
      assert small.state_of(same) == small.state_of(loop)


def test_between_windows_an_update_is_at_work():
  """So that even reading is refused: it would count in its metrics."""
  found = []
  loop = loop_of(on_window=lambda values: found.append(
    told(lambda: loop.evaluate(small.data()))))  # fmt: skip
  loop.fit(small.data(), 1)
  where = "or in `on_epoch`; got a call inside it"
  assert found[0] == f"`evaluate` {OWN}, {where}"
  assert len(set(found)) == 1


def test_in_a_metric_that_is_traced():
  def fitting(y, p):
    loop.fit(small.data(), 1)
    return keras.ops.mean(p)

  loop = loop_of(metrics=[fitting])
  with pytest.raises(ValueError, match=OWN):
    loop.fit(small.data(), 1)
  assert loop.global_step == 0


def shares_all(loop):
  return loop


def shares_the_model(loop):
  return loop_of(loop.model)


def shares_a_layer(loop):
  layers = [keras.layers.Input((8,)), loop.model.layers[0]]
  head = keras.layers.Dense(3, activation="softmax")
  return loop_of(keras.Sequential([*layers, head]))


def shares_the_optimizer(loop):
  return loop_of(optimizer=loop.optimizer)


METRIC = keras.metrics.SparseCategoricalAccuracy()


def shares_a_metric(loop):
  return loop_of(metrics=[METRIC])


@pytest.mark.parametrize(
  "share",
  [
    shares_all,
    shares_the_model,
    shares_a_layer,
    shares_the_optimizer,
    shares_a_metric,
  ],
)
def test_of_two_threads_the_second_is_refused(alone, share):
  ready, goes_on = threading.Event(), threading.Event()

  def on_epoch(values):
    ready.set()
    assert goes_on.wait(300)

  loop = loop_of(on_epoch=on_epoch, metrics=["accuracy", METRIC])
  other = share(loop)
  thread = threading.Thread(target=lambda: loop.fit(small.data(), 3))
  thread.start()
  assert ready.wait(300)
  try:
    refused = told(lambda: other.fit(small.data(), 1))
  finally:
    goes_on.set()
    thread.join()
  rule = OWN if other is loop else OTHERS
  assert refused == f"`fit` {rule}; got a call from another thread"
  assert loop.history.stop_reason == "completed"
  assert small.state_of(loop) == alone


def test_two_loops_of_their_own_run_at_once(alone):
  loops = [loop_of() for _ in range(2)]
  threads = [
    threading.Thread(target=loop.fit, args=(small.data(), 3)) for loop in loops
  ]
  for thread in threads:
    thread.start()
  for thread in threads:
    thread.join()
  assert [small.state_of(loop) for loop in loops] == [alone, alone]


def test_after_an_error_the_turn_is_over():
  loop = loop_of()
  x, y = small.arrays()
  with pytest.raises(ValueError):
    loop.fit(trainloop.ArrayData(x[:, :3], y, batch_size=8), 1)
  loop.fit(small.data(), 1)
  assert np.isfinite(loop.history.rows["loss"]).all()
