"""What a kernel of its own moves, and groups: each update against NumPy."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import kernels
import trainloop
from support import interruption, small

UPDATES = 200
FROM = 60  # update from which the head's bias is free
RNG = np.random.default_rng(3)
X = RNG.normal(size=(16, 3)).astype(np.float32)
Y = (X @ [[1.0, -2.0], [0.5, 3.0], [2.0, 0.0]] + 1.0).astype(np.float32)
RATE = kernels.OneCycle(0.05, UPDATES, momentum=None)
MOVED = {
  "weight_decay": kernels.Cosine(0.04, UPDATES, 0.4),
  "beta_2": kernels.Linear(0.9, 0.99, UPDATES),
  "momentum": kernels.Linear(0.95, 0.85, UPDATES),
  "clipnorm": kernels.Cosine(2.0, UPDATES, 0.2),
}
GROUPS = {
  "dense/kernel": trainloop.Group(lr=0.25, weight_decay=0.5),
  "dense/bias": trainloop.Group(
    lr=kernels.PiecewiseConstant([FROM], [0.0, 2.0]), weight_decay=0.0
  ),
}
ENGINES = ("graph", "xla")


def net():
  keras.utils.set_random_seed(0)
  layers = [keras.layers.Input((3,)), keras.layers.Dense(2, name="dense")]
  return keras.Sequential(layers)


def train(optimizer, updates=UPDATES, model=net, **options):
  options = {"schedule": RATE, "verbose": False, **options}
  loop = trainloop.TrainLoop(model, lambda: optimizer, "mse", **options)
  data = trainloop.ArrayData(X, Y, batch_size=16, shuffle=False)
  return loop, loop.fit(data, updates)


def slopes(kernel, bias):
  """Gradients of the mean squared error, float64."""
  error = 2.0 * (X @ kernel + bias - Y) / Y.size
  return [X.T.astype(np.float64) @ error, error.sum(axis=0)]


def tabulated(kernel):
  return np.float64(kernels.tabulate(kernel, UPDATES)[0])


def clipped(gradient, norm):
  return gradient * min(1.0, norm / np.linalg.norm(gradient))


def adam(factors, decays):
  """AdamW under `MOVED`, float64: kernel and bias."""
  weights = [np.float64(w) for w in net().get_weights()]
  m, v = ([np.zeros_like(w) for w in weights] for _ in range(2))
  columns = {name: tabulated(kernel) for name, kernel in MOVED.items()}
  rates = tabulated(RATE)
  for t in range(UPDATES):
    b1, b2 = columns["momentum"][t], columns["beta_2"][t]
    norm, decay = columns["clipnorm"][t], columns["weight_decay"][t]
    for i, slope in enumerate(slopes(*weights)):
      rate = rates[t] * factors[i][t]
      if rate == 0 and factors[i][t] == 0:
        continue
      slope = clipped(slope, norm)
      weights[i] = weights[i] - weights[i] * decay * decays[i] * rate
      m[i] = m[i] + (1 - b1) * (slope - m[i])
      v[i] = v[i] + (1 - b2) * (slope**2 - v[i])
      alpha = rate * np.sqrt(1 - b2 ** (t + 1)) / (1 - b1 ** (t + 1))
      weights[i] = weights[i] - alpha * m[i] / (np.sqrt(v[i]) + 1e-7)
  return weights


@pytest.fixture(scope="module", params=ENGINES)
def moved(request):
  """AdamW with everything moving, and groups; (loop, history)."""
  return train(
    keras.optimizers.AdamW(0.1),
    schedules=MOVED,
    groups=GROUPS,
    compile=request.param,
  )


def test_everything_that_moves_equals_numpy(moved):
  loop, _ = moved
  factors = [np.full(UPDATES, 0.25), tabulated(GROUPS["dense/bias"].lr)]
  want = adam(factors, [0.5, 0.0])
  for mine, theirs in zip(loop.model.get_weights(), want, strict=True):
    np.testing.assert_allclose(mine, theirs, rtol=2e-4, atol=2e-5)


def test_rows_hold_what_each_update_used(moved):
  _, history = moved
  rows = history.rows
  for name, kernel in MOVED.items():
    values, _ = kernels.tabulate(kernel, UPDATES)
    assert rows[name].tobytes() == values.tobytes(), name
  for pattern, group in GROUPS.items():
    factor = group.lr
    if not isinstance(factor, kernels.Schedule):
      factor = kernels.Constant(factor)
    rates = rows["learning_rate"] * kernels.tabulate(factor, UPDATES)[0]
    assert rows[f"learning_rate/{pattern}"].tobytes() == rates.tobytes()
  decay = rows["weight_decay"] * np.float32(0.5)
  assert rows["weight_decay/dense/kernel"].tobytes() == decay.tobytes()


def test_one_program_serves_all_kernels(moved):
  loop, _ = moved
  data = trainloop.ArrayData(X, Y, batch_size=16, shuffle=False)
  loop.fit(data, 3, schedule=kernels.Constant(0.1))
  trainloop.sweep_learning_rate(loop, data, steps=5, max_lr=0.1)
  assert loop.traces == 1


def test_decoupled_decay_of_sgd_scales_with_the_groups_rate():
  groups = {"dense/kernel": trainloop.Group(lr=0.5)}
  optimizer = keras.optimizers.SGD(0.1, weight_decay=0.2)
  loop, _ = train(optimizer, groups=groups, compile="graph")
  weights = [np.float64(w) for w in net().get_weights()]
  for rate in tabulated(RATE):
    for i, slope in enumerate(slopes(*weights)):
      own = rate * (0.5, 1.0)[i]
      weights[i] = weights[i] - weights[i] * 0.2 * own - own * slope
  for mine, theirs in zip(loop.model.get_weights(), weights, strict=True):
    np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
  "factor", [0.0, kernels.PiecewiseConstant([9], [0.0, 0.0])]
)
def test_factor_zero_keeps_weights_and_slots_to_the_byte(engine, factor):
  groups = {".*kernel": trainloop.Group(lr=factor)}
  optimizer = keras.optimizers.SGD(0.1, momentum=0.9, weight_decay=0.3)
  loop, history = train(optimizer, 20, groups=groups, compile=engine)
  kernel, bias = loop.model.get_weights()
  want = net().get_weights()
  assert kernel.tobytes() == want[0].tobytes()
  assert bias.tobytes() != want[1].tobytes()
  slots = {v.path: v.numpy() for v in optimizer.variables}
  (frozen,) = (v for path, v in slots.items() if "kernel" in path)
  assert not frozen.any()
  # Its gradient is in no norm: the first update's is the bias' alone.
  _, slope = slopes(*map(np.float64, want))
  norm = np.linalg.norm(slope)
  np.testing.assert_allclose(history.rows["grad_norm"][0], norm, rtol=1e-5)


def test_a_moving_beta_2_with_an_exact_divisor():
  moved = {"beta_2": kernels.Linear(0.8, 0.99, UPDATES)}
  loop, _ = train(
    keras.optimizers.Adam(0.1),
    schedules=moved,
    bias_correction="exact",
    compile="graph",
  )
  weights = [np.float64(w) for w in net().get_weights()]
  m, v = ([np.zeros_like(w) for w in weights] for _ in range(2))
  product, rates = 1.0, tabulated(RATE)
  for t, b2 in enumerate(tabulated(moved["beta_2"])):
    product *= b2
    for i, slope in enumerate(slopes(*weights)):
      m[i] = m[i] + 0.1 * (slope - m[i])
      v[i] = v[i] + (1 - b2) * (slope**2 - v[i])
      alpha = rates[t] * np.sqrt(1 - product) / (1 - 0.9 ** (t + 1))
      weights[i] = weights[i] - alpha * m[i] / (np.sqrt(v[i]) + 1e-7)
  for mine, theirs in zip(loop.model.get_weights(), weights, strict=True):
    np.testing.assert_allclose(mine, theirs, rtol=2e-4, atol=2e-5)


def everything(workdir=None, **options):
  """A loop of 36 updates with kernels, groups and a step that reads one."""

  def step(model, x, y, training, temperature):
    logits = tf.math.log(model(x, training=training)) / temperature
    loss = keras.losses.sparse_categorical_crossentropy(
      y, logits, from_logits=True
    )
    return {"loss": loss, "used": tf.zeros_like(loss) + temperature}

  return trainloop.TrainLoop(
    small.model(rich=True),
    keras.optimizers.AdamW(0.01),
    step=step,
    schedule=kernels.OneCycle(0.05, 36),
    schedules={
      "weight_decay": kernels.Cosine(0.04, 36, 0.4),
      "temperature": kernels.Linear(2.0, 1.0, 36),
    },
    groups={"dense/.*": trainloop.Group(lr=0.5)},
    workdir=workdir,
    verbose=False,
    **{"compile": "graph", **options},
  )


def ended(loop):
  history = loop.fit(small.data(), 3, validation=small.validation())
  rows = {name: v.tobytes() for name, v in history.rows.items()}
  return history, (small.state_of(loop), rows)


@pytest.fixture(scope="module")
def whole():
  """(history, end) of the run that nothing cut."""
  return ended(everything(steps_per_loop=5))


def test_a_users_value_reaches_step_and_validation(whole):
  history, _ = whole
  values = history.rows["temperature"]
  np.testing.assert_array_equal(
    values, kernels.tabulate(kernels.Linear(2.0, 1.0, 36), 36)[0]
  )
  per_epoch = values.reshape(3, 12)
  np.testing.assert_allclose(
    history.epochs["used"], per_epoch.mean(axis=1), rtol=1e-6
  )
  np.testing.assert_allclose(history.epochs["val_used"], per_epoch[:, -1])


@pytest.mark.parametrize("steps_per_loop", [1, 7, 100])
def test_windows_change_no_byte(whole, steps_per_loop):
  _, end = ended(everything(steps_per_loop=steps_per_loop))
  assert end == whole[1]


@pytest.mark.parametrize("windows", [1, 6])
def test_a_run_that_was_cut_goes_on_to_the_byte(whole, tmp_path, windows):
  options = {"steps_per_loop": 5, "checkpoint_every": "4st"}
  interruption.cut_after(
    windows, lambda: ended(everything(tmp_path / "run", **options))
  )
  _, end = ended(everything(tmp_path / "run", **options))
  assert end == whole[1]


DECAY = {"weight_decay": kernels.Constant(0.1)}
HALF = {".*": trainloop.Group(lr=0.5)}
OTHER_COLUMNS = {
  "no schedules": ({}, "`schedules` must be ['weight_decay'], as in", "None"),
  "more schedules": (
    {"schedules": {**DECAY, "clipnorm": 1.0}},
    "`schedules` must be ['weight_decay'], as in the run that",
    "['clipnorm', 'weight_decay']",
  ),
  "groups": (
    {"schedules": DECAY, "groups": HALF},
    "`groups` must be None, as in the run that",
    "['.*']",
  ),
}


@pytest.fixture(scope="module")
def decayed(tmp_path_factory):
  run = tmp_path_factory.mktemp("decayed") / "run"
  plain = {"schedule": kernels.Constant(0.1), "workdir": run}
  train(keras.optimizers.SGD(0.1), 2, schedules=DECAY, **plain)
  return plain


@pytest.mark.parametrize("existing", ["continue", "replan"])
@pytest.mark.parametrize("case", OTHER_COLUMNS)
def test_a_workdir_of_other_columns_is_refused_by_argument(
  decayed, case, existing
):
  options, text, got = OTHER_COLUMNS[case]
  with pytest.raises(ValueError) as error:
    train(keras.optimizers.SGD(0.1), 2, existing=existing, **decayed, **options)
  assert text in str(error.value) and str(error.value).endswith(f"got {got}")
  assert 'needs existing="overwrite" or another workdir)' in str(error.value)


def test_another_kernel_of_the_same_name_may_be_replanned(decayed):
  other = {"weight_decay": kernels.Constant(0.2)}
  rule = r"`schedules\['weight_decay'\]\.learning_rate` must be 0\.1, .*replan"
  with pytest.raises(ValueError, match=rule):
    train(keras.optimizers.SGD(0.1), 2, schedules=other, **decayed)
  options = {"schedules": other, "existing": "replan", **decayed}
  _, history = train(keras.optimizers.SGD(0.1), 3, **options)
  decay = history.rows["weight_decay"]
  np.testing.assert_allclose(decay, [0.1, 0.1, 0.2])


def test_the_order_of_schedules_and_groups_does_not_matter(tmp_path):
  moved = {"weight_decay": 0.1, "clipnorm": 1.0}
  groups = {".*bias": trainloop.Group(lr=0.5), ".*kernel": trainloop.Group(0.2)}
  for turned in (dict, lambda given: dict(reversed(given.items()))):
    loop, history = train(
      keras.optimizers.SGD(0.1),
      2,
      schedule=kernels.Constant(0.1),
      schedules=turned(moved),
      groups=turned(groups),
      workdir=tmp_path / "run",
    )
  assert loop.resumed_from == [] and history.restored
  np.testing.assert_allclose(history.rows["weight_decay"], 0.1)
  np.testing.assert_allclose(history.rows["learning_rate/.*kernel"], 0.02)


def blocks():
  """Twelve blocks between an embedding and a head, a layer each."""
  names = ["embed", *(f"block_{i}" for i in range(12)), "head"]
  layers = [keras.layers.Dense(2, name=name) for name in names]
  return keras.Sequential([keras.layers.Input((2,)), *layers])


def test_patterns_of_layers_that_the_process_has_counted():
  # The names of layers that were given none depend on the process.
  def unnamed():
    layers = [keras.layers.Input((3,)), keras.layers.Dense(2)]
    return keras.Sequential(layers)

  unnamed()  # counts
  group = trainloop.Group(lr=0.5)
  for pattern in ("dense/bias", "sequential.*/dense.*/bias"):
    groups = {pattern: group}
    loop, _ = train(
      keras.optimizers.SGD(0.1), 2, unnamed, groups=groups, compile="graph"
    )
    (member,) = loop.trainee.binding.groups.members
    assert member.places == (1,)


def test_layer_decay_is_timms():
  groups = trainloop.layer_decay(blocks(), 0.75, minimum=0.05)
  names = [pattern.split("/")[0] for pattern in groups]
  assert names == ["embed", *(f"block_{i}" for i in range(12)), "head"]
  layers = 12 + 2  # timm: embedding, blocks, head
  want = [max(0.75 ** (layers - 1 - i), 0.05) for i in range(layers)]
  assert [group.lr for group in groups.values()] == want


class Falling(kernels.Schedule):
  """A user's own, whose values are negative from its step 1 on."""

  total_steps = None

  def compute(self, step):
    return -tf.cast(step, tf.float64), None


KERNEL = kernels.Constant(0.1)
BAD = {
  "a pattern of nothing": (
    {"groups": {"nothing": trainloop.Group(lr=0.1)}},
    "`groups` must be patterns of trainable variables, as dense/kernel, "
    "dense/bias; got 'nothing'",
  ),
  "two patterns of one variable": (
    {"groups": {".*": trainloop.Group(), ".*bias": trainloop.Group()}},
    "one group a variable; '.*' has dense/bias, too",
  ),
  "no expression": (
    {"groups": {"(": trainloop.Group()}},
    "a regular expression of variables' paths",
  ),
  "no group": ({"groups": {".*": 0.1}}, "Group(lr=0.1, weight_decay=0.0)"),
  "everything frozen": (
    {"groups": {".*": trainloop.Group(lr=0.0)}},
    "a variable to train",
  ),
  "an unknown name": (
    {"schedules": {"weight_dekay": KERNEL}},
    "one of momentum, weight_decay, clipnorm, global_clipnorm, clipvalue for "
    "SGD",
  ),
  "two clippings": (
    {"schedules": {"clipnorm": KERNEL, "global_clipnorm": KERNEL}},
    "the only clipping of SGD",
  ),
  "a negative number": (
    {"schedules": {"weight_decay": -1}},
    "`schedules['weight_decay']` must be a kernels.Schedule, or a finite "
    "number >= 0; got -1",
  ),
  "no kernel": ({"schedules": {"weight_decay": "x"}}, "a kernels.Schedule"),
  "a kernel of momentum": (
    {"schedules": {"weight_decay": kernels.OneCycle(0.1, 9)}},
    "leaves momentum alone",
  ),
  "a schedule with kernels beside it": (
    {"schedule": kernels.Combined(KERNEL, ["weight_decay"], [KERNEL])},
    "`schedule` must be its schedule alone, and what moves beside it in",
  ),
  "momentum twice": (
    {
      "schedule": kernels.OneCycle(0.1, 9),
      "schedules": {"momentum": kernels.Constant(0.5)},
    },
    "a schedule that leaves momentum alone",
  ),
  "a negative value": (
    {"schedules": {"weight_decay": Falling()}},
    "`schedules['weight_decay']` must give values that are finite and >= 0 at "
    "every step; got -1 at its step 1",
  ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_refused_in_a_line(name, tmp_path):
  options, text = BAD[name]
  options = {"schedule": KERNEL, "workdir": tmp_path / "run", **options}
  with pytest.raises(ValueError) as error:
    train(keras.optimizers.SGD(0.1), 4, **options)
  assert text in str(error.value) and "\n" not in str(error.value)
  assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("factor", [-1.0, float("nan"), "x", None, True])
def test_a_factor_is_a_number_or_a_kernel(factor):
  with pytest.raises(ValueError, match="a finite factor >= 0"):
    trainloop.Group(lr=factor)
