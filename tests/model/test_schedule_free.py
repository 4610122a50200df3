"""Schedule-free SGD and AdamW against the paper's recurrences in NumPy."""

import keras
import numpy as np
import pytest

import kernels
import trainloop
from support import interruption, small

PER_EPOCH, RATE, DECAY, EPSILON = 12, 0.05, 0.02, 1e-7
WARM = kernels.Warmup(kernels.Constant(RATE), 7)
NAMES = ("SGD", "AdamW")


def optimizer(name):
  own = {"beta_1": 0.0, "epsilon": EPSILON} if name == "AdamW" else {}
  return getattr(keras.optimizers, name)(RATE, weight_decay=DECAY, **own)


def make(name="SGD", net=None, **options):
  options = {
    "average": trainloop.ScheduleFree(0.8),
    "schedule": WARM,
    **options,
  }
  return small.loop(
    net, lambda: optimizer(name), **{"compile": "graph", **options}
  )


def batches(epochs, bad=()):
  """(x, one-hot y) of each update in the data's order; None for a bad one."""
  x, y = small.arrays()
  y = np.eye(3)[y]
  for step in range(epochs * PER_EPOCH):
    at = slice(step % PER_EPOCH * 8, step % PER_EPOCH * 8 + 8)
    refused = step % PER_EPOCH in bad
    yield None if refused else (x[at].astype(np.float64), y[at])


def poisoned(bad):
  """The small data in its order, with NaN in an example of some batches."""
  data = small.data(shuffle=False)
  for step in bad:
    data.arrays[0][step * 8, 0] = np.nan
  return data


def chances(weights, x):
  """(hidden, softmax) of the small model in float64."""
  a, b, c, d = weights
  hidden = np.maximum(x @ a + b, 0)
  logits = hidden @ c + d
  powers = np.exp(logits - logits.max(1, keepdims=True))
  return hidden, powers / powers.sum(1, keepdims=True)


def slopes(weights, x, y):
  """Gradients of the mean cross-entropy at these weights."""
  hidden, p = chances(weights, x)
  out = (p - y) / len(x)
  back = (out @ weights[2].T) * (hidden > 0)
  return [x.T @ back, back.sum(0), hidden.T @ out, out.sum(0)]


def by_numpy(name, first, epochs, beta=0.8, bad=(), factors=(1, 1, 1, 1)):
  """x after each update, as algorithm 1 of the paper says."""
  z = [w.astype(np.float64) for w in first]
  x, v = [w.copy() for w in z], [np.zeros_like(w) for w in z]
  total, n, peak, found = 0.0, 0, 0.0, []
  for step, batch in enumerate(batches(epochs, bad)):
    rate = float(WARM(step).learning_rate)
    if batch is not None:
      n, peak = n + 1, max(peak, rate)
      total += peak**2
      c = peak**2 / total if total else 0.0
      y = [(1 - beta) * one + beta * two for one, two in zip(z, x, strict=True)]
      for i, g in enumerate(slopes(y, *batch)):
        if name == "AdamW":
          v[i] = 0.999 * v[i] + 0.001 * g * g
          root = np.sqrt(1 - 0.999**n)  # epsilon stands where Keras has it
          g = g * root / (np.sqrt(v[i]) + EPSILON)
        own = rate * factors[i]
        z[i] = z[i] - own * g - own * DECAY * y[i]
        x[i] = (1 - c) * x[i] + c * z[i]
    found.append([w.copy() for w in x])
  return found


def loss(weights):
  """The validation loss of the small model with these weights."""
  x, y = small.validation().arrays[:2]
  _, p = chances(weights, x.astype(np.float64))
  return -np.mean(np.log(p[np.arange(len(y)), y]))


def same(found, want):
  for one, other in zip(found, want, strict=True):
    np.testing.assert_allclose(one, other, rtol=2e-4, atol=2e-6)


@pytest.fixture(scope="module", params=["graph", "xla"])
def engine(request):
  return request.param


@pytest.mark.parametrize("name", NAMES)
def test_two_hundred_updates_are_those_of_the_paper(name, engine):
  """Judged and left at x, with refused updates between."""
  bad, epochs = (2, 7), 17
  loop = make(name, compile=engine, on_nonfinite="skip")
  first = loop.model.get_weights()
  data, valid = poisoned(bad), small.validation()
  history = loop.fit(data, epochs, validation=valid)
  assert history.rows["skipped"].sum() == epochs * len(bad)
  found = by_numpy(name, first, epochs, bad=bad)
  want = [loss(x) for x in found[PER_EPOCH - 1 :: PER_EPOCH]]
  np.testing.assert_allclose(history.epochs["val_loss"], want, rtol=2e-4)
  same(loop.model.get_weights(), found[-1])


def test_training_holds_y(engine):
  """Which is not x: the losses of updates are those at y."""
  loop = make(compile=engine)
  first = loop.model.get_weights()
  history = loop.fit(small.data(shuffle=False), 2)
  beta, z = 0.8, [w.astype(np.float64) for w in first]
  x, total, want = z, 0.0, []
  for step, (a, b) in enumerate(batches(2)):
    rate = float(WARM(step).learning_rate)
    y = [(1 - beta) * one + beta * two for one, two in zip(z, x, strict=True)]
    _, p = chances(y, a)
    want.append(-np.mean(np.log((p * b).sum(1))))
    total += rate**2
    c = rate**2 / total if total else 0.0
    moves = slopes(y, a, b)
    z = [
      w - rate * g - rate * DECAY * v
      for w, g, v in zip(z, moves, y, strict=True)
    ]
    x = [(1 - c) * one + c * two for one, two in zip(x, z, strict=True)]
  np.testing.assert_allclose(history.rows["loss"], want, rtol=1e-4)


def test_groups_reach_step_and_decay(engine):
  net = small.model()
  groups = {
    net.weights[1].path: trainloop.Group(lr=0.25),
    net.weights[2].path: trainloop.Group(lr=0.0),
  }
  loop = make("AdamW", net, compile=engine, groups=groups)
  first = net.get_weights()
  loop.fit(small.data(shuffle=False), 3)
  left = net.get_weights()
  assert left[2].tobytes() == first[2].tobytes()
  same(left, by_numpy("AdamW", first, 3, factors=(1, 0.25, 0, 1))[-1])


@pytest.mark.parametrize("steps", [7, 100])
def test_the_window_does_not_matter(steps, engine):
  stopping = trainloop.EarlyStopping(patience=9)
  results = []
  for size in (1, steps):
    loop = make(
      "AdamW",
      small.model(rich=True),
      compile=engine,
      steps_per_loop=size,
      early_stopping=stopping,
    )
    loop.fit(small.data(), 3, validation=small.validation())
    results.append((small.state_of(loop), loop.model.get_weights()))
  assert results[0][0] == results[1][0]


def test_a_factor_that_falls_to_zero_freezes_y_z_and_x():
  net = small.model()
  factor = kernels.PiecewiseConstant([PER_EPOCH], [1.0, 0.0])
  pattern = net.weights[0].path
  loop = make("SGD", net, groups={pattern: trainloop.Group(lr=factor)})
  data = small.data(shuffle=False)
  loop.fit(data, 1)
  before = net.get_weights()
  loop.fit(data, 2)
  after = net.get_weights()
  assert after[0].tobytes() == before[0].tobytes()
  assert after[2].tobytes() != before[2].tobytes()


def test_the_next_fit_goes_on_as_if_there_had_been_one():
  data, valid = small.data(shuffle=False), small.validation()
  two, one = make("AdamW"), make("AdamW")
  two.fit(data, 2, validation=valid)
  rows = two.fit(data, 1, validation=valid, schedule=None).rows
  whole = one.fit(data, 3, validation=valid)
  assert rows["loss"].tobytes() == whole.rows["loss"][24:].tobytes()
  assert small.state_of(two) == small.state_of(one)


def test_weights_that_a_user_sets_are_what_it_goes_on_from():
  data = small.data(shuffle=False)
  loop = make()
  first = loop.model.get_weights()
  loop.fit(data, 2)
  loop.model.set_weights(first)
  anew = loop.fit(data, 1, schedule=WARM)
  want = make().fit(data, 1)
  assert anew.rows["loss"].tobytes() == want.rows["loss"].tobytes()


def test_a_run_cut_anywhere_goes_on_byte_for_byte(tmp_path):
  def run(name):
    loop = make(
      "AdamW",
      small.model(rich=True),
      steps_per_loop=4,
      checkpoint_every="4st",
      early_stopping=trainloop.EarlyStopping(patience=9),
      workdir=tmp_path / name,
    )
    loop.fit(small.data(), 3, validation=small.validation())
    return loop

  interruption.cut_before(5, lambda: run("cut"))
  assert small.state_of(run("cut")) == small.state_of(run("whole"))


def test_two_replicas_are_as_one(two_replicas):
  weights = []
  for strategy in (None, two_replicas):
    loop = make("AdamW", small.model, strategy=strategy)
    loop.fit(small.data(shuffle=False), 3)
    weights.append(loop.model.get_weights())
  same(*weights)


REFUSED = {
  "optimizer": (
    {"optimizer": keras.optimizers.RMSprop},
    "`optimizer` must be one of SGD, Adam, AdamW with",
  ),
  "momentum": (
    {"optimizer": lambda: keras.optimizers.SGD(0.1, momentum=0.9)},
    "SGD(..., momentum=0.0)",
  ),
  "beta_1": (
    {"optimizer": keras.optimizers.AdamW},
    "AdamW(..., beta_1=0.0)",
  ),
  "falls": (
    {"schedule": kernels.Cosine(0.1, 24)},
    "never fall with `average=ScheduleFree()`",
  ),
  "a group falls": (
    {"groups": {".*bias": trainloop.Group(lr=kernels.Linear(1.0, 0.1, 24))}},
    "`groups['.*bias'].lr` must give learning rates that never fall",
  ),
  "scheduled momentum": (
    {"schedules": {"momentum": 0.9}},
    "without momentum",
  ),
  "plateau": (
    {"reduce_on_plateau": trainloop.ReduceOnPlateau()},
    "`reduce_on_plateau` must be None with",
  ),
  "bfloat16": (
    {"dtype": "bfloat16"},
    "float32 weights",
  ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_has_no_meaning_is_refused(case, tmp_path):
  options, text = REFUSED[case]
  options = dict(options)
  dtype = options.pop("dtype", None)
  net = small.model()
  if dtype:
    net = keras.Sequential(
      [keras.layers.Input((8,)), keras.layers.Dense(3, dtype=dtype)]
    )
  own = options.pop("optimizer", lambda: optimizer("SGD"))()
  workdir = tmp_path / "run"
  options |= {"average": trainloop.ScheduleFree(), "workdir": workdir}
  with pytest.raises(ValueError) as error:
    loop = small.loop(net, own, **options)
    loop.fit(small.data(), 2, validation=small.validation())
  assert text in str(error.value) and "\n" not in str(error.value)
  assert not workdir.exists()
