"""Averages are validated, judged and left; training goes on with the rest."""

import keras
import numpy as np
import pytest

import kernels
import trainloop
from support import interruption, small

DECAY, RATE, SIZE = 0.8, 0.3, 8
X = np.random.default_rng(0).normal(size=(40, 3)).astype("float32")
NOISE = np.random.default_rng(1).normal(size=(40, 1)).astype("float32")
Y = X.sum(1, keepdims=True) + 2 * NOISE
TRAIN = trainloop.ArrayData(X, Y, batch_size=SIZE, shuffle=False)
VALID = trainloop.ArrayData(X, Y, batch_size=40)


def line():
  return keras.Sequential(
    [keras.Input((3,)), keras.layers.Dense(1, kernel_initializer="zeros")]
  )


def sgd(**options):
  options = {"use_ema": True, "ema_momentum": DECAY, **options}
  return keras.optimizers.SGD(RATE, **options)


def make(stopping=None, optimizer=None, **options):
  return trainloop.TrainLoop(
    options.pop("model", line),
    optimizer or sgd(),
    options.pop("loss", "mse"),
    early_stopping=stopping,
    verbose=0,
    **options,
  )


def mse(weights):
  return float(np.mean((X @ weights[:3] + weights[3] - Y[:, 0]) ** 2))


def by_numpy(epochs, w=None, a=None, rate=RATE):
  """[(raw, average)] after each epoch, float64 (4,) each."""
  w = np.zeros(4) if w is None else w
  x, found = np.hstack([X, np.ones((40, 1))]), []
  for _ in range(epochs):
    for i in range(0, 40, SIZE):
      part = x[i : i + SIZE]
      w = w - rate * 2 / SIZE * part.T @ (part @ w - Y[i : i + SIZE, 0])
      a = w if a is None else DECAY * a + (1 - DECAY) * w
    found.append((w, a))
  return found


def flat(weights):
  return np.concatenate([np.ravel(w) for w in weights])


def averages(loop):
  """Keras' own; private: this notices when it moves, as `pairs` does."""
  return loop.optimizer._model_variables_moving_average


def test_keras_still_says_which_average_is_whose():
  net, optimizer = line(), sgd()
  optimizer.build(net.trainable_variables)
  pairs = zip(
    optimizer._trainable_variables, net.trainable_variables, strict=True
  )
  assert all(one is other for one, other in pairs)
  averages = optimizer._model_variables_moving_average
  assert [a.shape for a in averages] == [w.shape for w in net.weights]


@pytest.mark.parametrize("engine", ["xla", "graph"])
def test_validation_is_of_the_averages_and_training_of_the_raw(engine):
  loop = make(trainloop.EarlyStopping(patience=9), compile=engine)
  history = loop.fit(TRAIN, 4, validation=VALID)
  want = by_numpy(4)
  losses = [mse(average) for _, average in want]
  np.testing.assert_allclose(history.epochs["val_loss"], losses, rtol=1e-5)
  best = int(np.argmin(losses))
  assert best not in (0, 3)  # the test says something
  left = flat(loop.model.get_weights())
  np.testing.assert_allclose(left, want[best][1], rtol=1e-4)
  assert left.tobytes() == flat(averages(loop)).tobytes()
  assert loop.evaluate(VALID)["loss"] == loop.best["value"]
  plain = make(optimizer=keras.optimizers.SGD(RATE), compile=engine)
  raw = plain.fit(TRAIN, 4, validation=VALID)
  assert history.rows["loss"].tobytes() == raw.rows["loss"].tobytes()


@pytest.mark.parametrize("restore", [None, "weights", "all", "cycle_end"])
def test_the_next_fit_goes_on_from_the_raw_weights(restore):
  def new():
    stopping = restore and trainloop.EarlyStopping(patience=9, restore=restore)
    schedule = kernels.CosineRestarts(RATE, 15, floor_lr=RATE)
    return make(stopping, schedule=schedule, compile="graph")

  want = by_numpy(4)
  losses = [mse(average) for _, average in want]
  best = int(np.argmin(losses))
  assert best == 2
  two = new()
  two.fit(TRAIN, 4, validation=VALID)
  left = flat(two.model.get_weights())
  np.testing.assert_allclose(left, want[best if restore else 3][1], rtol=1e-4)
  assert left.tobytes() == flat(averages(two)).tobytes()
  found = two.fit(TRAIN, 2, validation=VALID)
  if restore == "all":  # weights, averages and all are those of the best
    losses = [mse(average) for _, average in by_numpy(2, *want[best])]
    np.testing.assert_allclose(found.epochs["val_loss"], losses, rtol=1e-5)
    return
  whole = new()
  rows = whole.fit(TRAIN, 6, validation=VALID).rows
  assert found.rows["loss"].tobytes() == rows["loss"][20:].tobytes()
  assert small.state_of(two) == small.state_of(whole)


def test_weights_that_the_user_sets_between_two_fits_hold():
  loop = make(compile="graph")
  loop.fit(TRAIN, 1, validation=VALID)
  mine = np.array([1.0, 2.0, 3.0, 4.0])
  loop.model.set_weights([mine[:3, None], mine[3:]])
  found = loop.fit(TRAIN, 1, validation=VALID).epochs["val_loss"]
  want = by_numpy(1, mine, by_numpy(1)[0][1])
  np.testing.assert_allclose(found, [mse(want[0][1])], rtol=1e-5)


def test_a_cut_goes_back_to_the_best_weights_and_averages():
  loop = make(
    reduce_on_plateau=trainloop.ReduceOnPlateau(
      patience=1, factor=0.5, restore_best_first=True, min_scale=0.5
    ),
    compile="graph",
  )
  losses = loop.fit(TRAIN, 5, validation=VALID).epochs["val_loss"]
  want = by_numpy(4)
  best = int(np.argmin([mse(average) for _, average in want]))
  assert best == 2
  # Cut after the fourth epoch; the fifth is the third's next, at half the rate.
  rates = loop.history.rows["learning_rate"][::5] / np.float32(RATE)
  np.testing.assert_allclose(rates, [1, 1, 1, 1, 0.5], rtol=1e-6)
  want += by_numpy(1, *want[best], rate=RATE / 2)
  np.testing.assert_allclose(losses, [mse(a) for _, a in want], rtol=1e-5)


@pytest.mark.parametrize(
  "average", [None, trainloop.EMA(DECAY), trainloop.CycleAverage()]
)
def test_before_an_update_the_weights_themselves_are_judged(average):
  bad = np.where(np.arange(40) < 16, 1e38, 1.0).astype("float32")
  weighted = trainloop.ArrayData(
    X, Y * 1e3, bad, batch_size=SIZE, shuffle=False
  )
  loop = make(
    optimizer=average and keras.optimizers.SGD(RATE),
    average=average,
    schedule=kernels.CosineRestarts(RATE, 5),
    on_nonfinite="skip",
    validate_every="1st",
    compile="graph",
    model=lambda: keras.Sequential(
      [keras.Input((3,)), keras.layers.Dense(1, kernel_initializer="ones")]
    ),
  )
  seen = []
  plain = loop.programs.evaluate

  def evaluate(source, empty):
    seen.append(flat(loop.model.get_weights()))
    return plain(source, empty)

  loop.programs.evaluate = evaluate
  rows = loop.fit(weighted, 1, validation=VALID).rows
  assert rows["skipped"].tolist() == [1, 1, 0, 0, 0]
  assert seen[0].tolist() == seen[1].tolist() == [1, 1, 1, 0]
  assert seen[2].tolist() != seen[1].tolist()


def test_who_looks_at_the_model_sees_the_averages(tmp_path):
  seen, stops = [], []
  loop = make(
    compile="graph",
    workdir=tmp_path,
    keep=9,
    on_epoch=lambda told: (
      seen.append(flat(loop.model.get_weights())),
      stops.append(loop.stop()) if told["epoch"] == 4 else None,
    ),
  )
  assert loop.fit(TRAIN, 9, validation=VALID).stop_reason == "preempted"
  want = [average for _, average in by_numpy(9)]
  np.testing.assert_allclose(seen, want[:4], rtol=1e-4)
  np.testing.assert_array_equal(flat(loop.model.get_weights()), seen[3])
  before = small.state_of(loop)
  trainloop.sweep_learning_rate(loop, TRAIN, max_lr=1.0, steps=5)
  assert small.state_of(loop) == before
  loop.fit(TRAIN, 9, validation=VALID)
  np.testing.assert_allclose(seen, want, rtol=1e-4)
  loop.restore_epoch(5)
  np.testing.assert_array_equal(flat(loop.model.get_weights()), seen[4])
  rows = loop.fit(TRAIN, 1, validation=VALID).rows
  assert rows["loss"].shape == (5,)
  np.testing.assert_allclose(seen[-1], want[5], rtol=1e-4)


def test_a_sweep_starts_from_the_raw_weights():
  loop = make(compile="graph")
  loop.fit(TRAIN, 1)
  found = trainloop.sweep_learning_rate(loop, TRAIN, max_lr=1.0, steps=5)
  first = X[:SIZE] @ by_numpy(1)[0][0][:3] + by_numpy(1)[0][0][3]
  want = np.mean((first - Y[:SIZE, 0]) ** 2)
  np.testing.assert_allclose(found.losses[0], want, rtol=1e-5)


# Who averages: optimizer and loop have these options.
KINDS = {
  "optimizer": ({"use_ema": True, "ema_momentum": 0.9}, {}),
  "ema": ({}, {"average": trainloop.EMA(0.9)}),
  "cycles": ({}, {"average": trainloop.CycleAverage()}),
}


def rich(kind, workdir=None, **options):
  own, more = KINDS[kind]
  return small.loop(
    small.model(rich=True),
    keras.optimizers.Adam(0.02, **own),
    **more,
    workdir=workdir,
    schedule=kernels.CosineRestarts(0.02, 12),
    early_stopping=trainloop.EarlyStopping(patience=5, min_delta=0.02),
    reduce_on_plateau=trainloop.ReduceOnPlateau(
      patience=2, factor=0.5, restore_best_first=True, min_delta=0.02
    ),
    compile="graph",
    **{"checkpoint_every": "5st", "validate_every": "6st", **options},
  )


def whole_state(loop):
  """Bytes of what the model holds, and of all that training goes on from."""
  average = loop.trainee.state.average
  return small.state_of(loop), small.digest(average.variables)


def two_fits(loop):
  data, valid = small.data(48), small.data(32, 16, seed=1)
  first = loop.fit(data, 3, validation=valid)
  return first, loop.fit(data, 3, validation=valid)


@pytest.fixture(scope="module", params=KINDS)
def whole(request, tmp_path_factory):
  """(kind, a loop that was not cut off, its histories)."""
  kind = request.param
  loop = rich(kind, tmp_path_factory.mktemp(kind), steps_per_loop=7)
  return kind, loop, two_fits(loop)


@pytest.mark.parametrize("steps", [1, 100])
def test_the_window_does_not_matter(whole, steps):
  kind, other, histories = whole
  loop = rich(kind, steps_per_loop=steps)
  for mine, want in zip(two_fits(loop), histories, strict=True):
    assert mine.rows["loss"].tobytes() == want.rows["loss"].tobytes()
    for name, values in want.epochs.items():
      np.testing.assert_array_equal(mine.epochs[name], values, name)
  assert whole_state(loop) == whole_state(other)


@pytest.mark.parametrize("windows", [3, 8])
def test_a_run_that_was_cut_off_is_the_run_that_was_not(
  tmp_path, whole, windows
):
  kind, other, histories = whole
  interruption.cut_before(
    windows, lambda: two_fits(rich(kind, tmp_path, steps_per_loop=7))
  )
  loop = rich(kind, tmp_path, steps_per_loop=7)
  found = two_fits(loop)
  assert loop.resumed_from
  assert whole_state(loop) == whole_state(other)
  assert loop.best == other.best
  rows, want = found[1].rows, histories[1].rows
  assert rows["loss"].tobytes() == want["loss"].tobytes()


@pytest.mark.parametrize("kind", KINDS)
def test_two_replicas_average_as_one_device(two_replicas, kind):
  own, more = KINDS[kind]

  def run(strategy):
    loop = trainloop.TrainLoop(
      lambda: small.model(rich=False),
      lambda: keras.optimizers.SGD(0.1, **own),
      "sparse_categorical_crossentropy",
      early_stopping=trainloop.EarlyStopping(patience=9),
      strategy=strategy,
      schedule=kernels.CosineRestarts(0.1, 4),
      compile="graph",
      verbose=0,
      **more,
    )
    data, valid = small.data(48), small.data(33, 16)
    histories = [loop.fit(data, 2, validation=valid) for _ in range(2)]
    return loop, np.concatenate([h.epochs["val_loss"] for h in histories])

  (loop, found), (_, want) = run(two_replicas), run(None)
  np.testing.assert_allclose(found, want, rtol=1e-5)
  keras_own = averages(loop) if own else []
  for weight, mean in zip(loop.model.weights, keras_own, strict=bool(own)):
    assert weight.numpy().tobytes() == mean.numpy().tobytes()
  held = [v.value for v in (*loop.model.weights, *keras_own)]
  for variable in (*held, *loop.trainee.state.average.variables):
    assert len({v.numpy().tobytes() for v in variable.values}) == 1


def test_keras_cannot_overwrite_weights_on_two_replicas(two_replicas):
  often = trainloop.TrainLoop(
    line,
    lambda: sgd(ema_overwrite_frequency=5),
    "mse",
    strategy=two_replicas,
    verbose=0,
  )
  with pytest.raises(ValueError, match=r"_overwrite_frequency` must be None"):
    often.fit(TRAIN, 1)
