"""Several optimizers, each with variables, loss, rate and rhythm of its own."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import kernels
import trainloop
from support import interruption, small

BATCH, STEPS = 16, 48
RATES = {
  "generator": kernels.Cosine(2e-3, 64),
  "discriminator": kernels.Warmup(kernels.Constant(4e-3), 5),
}


class Gan(keras.Model):
  """Two networks; called it is the discriminator's opinion of both kinds."""

  def __init__(self):
    super().__init__()
    relu = {"activation": "relu"}
    self.generator = keras.Sequential(
      [
        keras.layers.Input((4,)),
        keras.layers.Dense(8, **relu),
        keras.layers.BatchNormalization(),
        keras.layers.Dense(2),
      ],
      name="generator",
    )
    self.discriminator = keras.Sequential(
      [
        keras.layers.Input((2,)),
        keras.layers.Dense(8, **relu),
        keras.layers.Dense(1),
      ],
      name="discriminator",
    )

  def call(self, x, training=False):
    noise, real = x
    fake = self.discriminator(self.generator(noise, training=training))
    return self.discriminator(real), fake


def cross_entropy(target, logits):
  targets = tf.fill(tf.shape(logits), target)
  return tf.nn.sigmoid_cross_entropy_with_logits(targets, logits)[:, 0]


def step(model, x, y, training):
  real, fake = model(x, training=training)
  return {
    "generator": cross_entropy(1.0, fake),
    "discriminator": cross_entropy(1.0, real) + cross_entropy(0.0, fake),
    "seen": tf.cast(real[:, 0] > 0, tf.float32),
  }


def model():
  keras.utils.set_random_seed(1)
  return Gan()


def adam(rate=1e-3):
  return keras.optimizers.Adam(rate, beta_1=0.5)


def arrays():
  rng = np.random.default_rng(0)
  noise = rng.normal(size=(256, 4)).astype("float32")
  return noise, rng.normal(1, 0.5, size=(256, 2)).astype("float32")


def data():
  return trainloop.ArrayData(list(arrays()), batch_size=BATCH, shuffle=False)


def make(every=1, schedule=RATES, **options):
  parts = {
    "generator": trainloop.Part(adam, every=every),
    "discriminator": adam,
  }
  options = {"step": step, "verbose": False, "compile": "graph", **options}
  options.setdefault("optimizer", parts)
  return trainloop.TrainLoop(model, schedule=schedule, **options)


def by_hand(every=1, steps=STEPS):
  """(weights, losses of each update) of a loop in plain TensorFlow."""
  net, (noise, real) = model(), arrays()
  parts = {n: (getattr(net, n), adam()) for n in RATES}
  net([noise[:2], real[:2]])
  rows = []
  for i in range(steps):
    at = slice(i * BATCH % 256, i * BATCH % 256 + BATCH)
    with tf.GradientTape(persistent=True) as tape:
      found = step(net, [noise[at], real[at]], None, True)
      losses = {name: tf.reduce_mean(found[name]) for name in parts}
    weights = {n: part.trainable_variables for n, (part, _) in parts.items()}
    slopes = {n: tape.gradient(losses[n], weights[n]) for n in parts}
    rows.append([float(one) for one in losses.values()])
    for name, (_, optimizer) in parts.items():
      if name == "generator" and (i + 1) % every:
        continue
      optimizer.learning_rate = float(RATES[name](i).learning_rate)
      optimizer.apply(slopes[name], weights[name])
  return net.get_weights(), np.array(rows)


@pytest.mark.parametrize("engine", ["graph", "xla"])
@pytest.mark.parametrize("every", [1, 5])
def test_it_is_a_loop_written_by_hand(engine, every):
  loop = make(every, compile=engine)
  history = loop.fit(data(), 3)
  weights, losses = by_hand(every)
  for one, other in zip(loop.model.get_weights(), weights, strict=True):
    np.testing.assert_allclose(one, other, rtol=0, atol=1e-6)
  rows = history.rows
  for i, name in enumerate(RATES):
    np.testing.assert_allclose(rows[f"loss/{name}"], losses[:, i], rtol=1e-5)
    by_epoch = losses[:, i].reshape(3, -1).mean(1)
    np.testing.assert_allclose(history.epochs[name], by_epoch, rtol=1e-5)
  np.testing.assert_allclose(rows["loss"], losses.sum(1), rtol=1e-5)
  steps = np.arange(STEPS)
  columns = ("learning_rate", "learning_rate/discriminator")
  for column, kernel in zip(columns, RATES.values(), strict=True):
    want = kernel(steps).learning_rate.numpy()
    assert rows[column].tobytes() == want.tobytes()
  assert loop.traces == 1


def test_the_dcgan_of_the_examples_is_a_loop_written_by_hand():
  """56 updates at two rates; its noise comes from the model's own seeds."""
  gan = pytest.importorskip("examples.gan")
  images = pytest.importorskip("sklearn.datasets").load_digits().images
  images = (images[..., None] / 16).astype("float32")[:1792]
  make_model, gan_step = gan.model_maker(0), gan.step_maker("dcgan")

  def new_model():
    keras.utils.set_random_seed(0)
    return make_model()

  loop = trainloop.TrainLoop(
    new_model,
    {"generator": lambda: adam(1e-3), "critic": lambda: adam(3e-3)},
    step=gan_step,
    compile="graph",
    verbose=False,
  )
  loop.fit(trainloop.ArrayData(images, batch_size=32, shuffle=False), 1)
  net = new_model()
  net(images[:2])
  parts = {"generator": adam(1e-3), "critic": adam(3e-3)}
  weights = {n: getattr(net, n).trainable_variables for n in parts}

  @tf.function
  def update(batch):
    with tf.GradientTape(persistent=True) as tape:
      found = gan_step(net, batch, None, True)
      losses = {name: tf.reduce_mean(found[name]) for name in parts}
    slopes = {n: tape.gradient(losses[n], weights[n]) for n in parts}
    for name, optimizer in parts.items():
      optimizer.apply(slopes[name], weights[name])

  for name, optimizer in parts.items():
    optimizer.build(weights[name])
  for i in range(56):
    update(images[32 * i : 32 * i + 32])
  for one, two in zip(loop.model.get_weights(), net.get_weights(), strict=True):
    np.testing.assert_allclose(one, two, rtol=0, atol=1e-6)


@pytest.mark.parametrize("engine", ["graph", "xla"])
def test_the_window_does_not_matter(engine):
  states = set()
  for size in (1, 7, 100):
    loop = make(5, compile=engine, steps_per_loop=size)
    rows = loop.fit(data(), 3).rows
    states.add((small.digest(loop.trainee.learnt()), rows["loss"].tobytes()))
  assert len(states) == 1


@pytest.mark.parametrize("windows", [3, 7])
def test_cut_off_it_is_the_run_that_was_not(tmp_path, windows):
  def run(name):
    # Another loop before it has Keras count its optimizers otherwise.
    [keras.optimizers.Adam() for _ in range(len(name))]
    options = {"checkpoint_every": "4st", "steps_per_loop": 4}
    loop = make(5, workdir=tmp_path / name, **options)
    rows = loop.fit(data(), 3).rows
    return loop, rows

  whole, want = run("whole")
  interruption.cut_before(windows, lambda: run("cut"))
  again, rows = run("cut")
  assert again.resumed_from
  assert small.digest(again.trainee.learnt()) == small.digest(
    whole.trainee.learnt()
  )
  for name, column in want.items():
    assert rows[name].tobytes() == column.tobytes(), name


def test_two_replicas_are_as_one(two_replicas):
  want = make(5).fit(data(), 3)
  loop = make(5, strategy=two_replicas)
  history = loop.fit(data(), 3)
  for name in ("loss/generator", "loss/discriminator"):
    # BatchNormalization sees a replica's half of the batch.
    np.testing.assert_allclose(history.rows[name], want.rows[name], rtol=0.2)
  assert np.isfinite(history.rows["grad_norm"]).all()


def test_one_loss_for_all_without_a_step():
  """Another rate and optimizer for a part of an ordinary model."""
  net = small.model()
  parts = {
    "body": trainloop.Part(keras.optimizers.SGD(0.1), "dense(_[0-9]*)?/.*"),
    "head": trainloop.Part(keras.optimizers.Adam(0.01), ".*_[0-9]+/.*"),
  }
  names = sorted(v.path.split("/")[-2] for v in net.trainable_variables)
  parts["body"] = trainloop.Part(keras.optimizers.SGD(0.1), f"{names[0]}/.*")
  parts["head"] = trainloop.Part(keras.optimizers.Adam(0.01), f"{names[-1]}/.*")
  loop = small.loop(net, parts, compile="graph")
  first = net.get_weights()
  loop.fit(small.data(shuffle=False), 2)
  other = small.model()
  x, y = small.arrays()
  optimizers = keras.optimizers.SGD(0.1), keras.optimizers.Adam(0.01)
  halves = other.trainable_variables[:2], other.trainable_variables[2:]
  loss = keras.losses.SparseCategoricalCrossentropy()
  for i in range(24):
    at = slice(i * 8 % 96, i * 8 % 96 + 8)
    with tf.GradientTape(persistent=True) as tape:
      value = loss(y[at], other(x[at]))
    for optimizer, half in zip(optimizers, halves, strict=True):
      optimizer.apply(tape.gradient(value, half), half)
  for one, two, begin in zip(
    net.get_weights(), other.get_weights(), first, strict=True
  ):
    np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-6)
    assert np.abs(one - begin).max() > 1e-3


def test_later_fits_take_schedules_and_plateaus_reach_all():
  plateau = trainloop.ReduceOnPlateau(
    "loss", patience=1, factor=0.5, mode="max"
  )
  loop = make(schedule=None, reduce_on_plateau=plateau)
  rows = loop.fit(data(), 3).rows
  for name in ("learning_rate", "learning_rate/discriminator"):
    assert rows[name][0] == np.float32(1e-3)
    assert rows[name][-1] < np.float32(1e-3)
  ratio = rows["learning_rate"] / rows["learning_rate/discriminator"]
  assert (ratio == 1).all()
  rows = loop.fit(data(), 1, schedule={"generator": kernels.Constant(0.5)}).rows
  assert rows["learning_rate"][0] == 0.5
  assert rows["learning_rate/discriminator"][0] == np.float32(1e-3)
  assert loop.traces == 1


def test_one_kernel_moves_all():
  kernel = kernels.Linear(2e-3, 0.0, 48)
  rows = make(schedule=kernel).fit(data(), 3).rows
  want = kernel(np.arange(48)).learning_rate.numpy().tobytes()
  for name in ("learning_rate", "learning_rate/discriminator"):
    assert rows[name].tobytes() == want


def test_the_model_is_saved_without_them(tmp_path):
  loop = small.loop(
    small.model(),
    {
      "a": trainloop.Part("sgd", ".*kernel"),
      "b": trainloop.Part("adam", ".*bias"),
    },
  )
  loop.fit(small.data(), 1)
  loop.model.save(tmp_path / "model.keras")
  again = keras.models.load_model(tmp_path / "model.keras")
  assert type(again.optimizer) is keras.optimizers.SGD


def wrong(**options):
  def call(workdir):
    make(workdir=workdir, **options).fit(data(), 2)

  return call


def no_discriminator(model, x, y, training):
  return {"generator": step(model, x, y, training)["generator"]}


def blind(model, x, y, training):
  found = step(model, x, y, training)
  return {**found, "generator": tf.stop_gradient(found["generator"])}


def with_the_sum(model, x, y, training):
  found = step(model, x, y, training)
  return {**found, "loss": found["generator"]}


REFUSED = {
  "one": (
    wrong(optimizer={"generator": adam}, schedule=None),
    "of at least two",
  ),
  "no name": (
    wrong(optimizer={"a b": adam, "c": adam}, schedule=None),
    "names of arguments",
  ),
  "no optimizer": (
    wrong(optimizer={"generator": adam, "discriminator": 3}, schedule=None),
    "`optimizer['discriminator']` must be a Keras optimizer",
  ),
  "no variables": (
    wrong(
      optimizer={
        "generator": adam,
        "discriminator": trainloop.Part(adam, "critic/.*"),
      }
    ),
    "`optimizer['discriminator']` must be patterns of trainable variables",
  ),
  "twice": (
    wrong(
      optimizer={
        "generator": adam,
        "discriminator": trainloop.Part(adam, ".*"),
      }
    ),
    "one optimizer a variable; 'generator' has",
  ),
  "some left": (
    wrong(
      optimizer={
        "generator": adam,
        "discriminator": trainloop.Part(adam, "discriminator/.*kernel"),
      }
    ),
    "optimizers for all variables; none has",
  ),
  "a loss missing": (
    wrong(step=no_discriminator),
    "a dict with a loss an optimizer: generator, discriminator",
  ),
  "a loss without slopes": (
    wrong(step=blind),
    "with a loss 'generator' that the variables of that optimizer change",
  ),
  "another schedule": (
    wrong(schedule={"generator": RATES["generator"], "critic": 1}),
    "`schedule` must be a kernel, or {name: kernel} of",
  ),
  "a recipe": (
    wrong(schedule={"generator": trainloop.recipes.one_cycle(0.1)}),
    "`schedule['generator']` must be a kernels.Schedule",
  ),
  "momentum": (
    wrong(schedule=kernels.OneCycle(0.1, 32)),
    "leaves momentum alone, with several optimizers",
  ),
  "schedules": (
    wrong(schedules={"beta_2": 0.9}),
    "`schedules` must be an argument of `step` with several optimizers",
  ),
  "groups": (
    wrong(groups={".*bias": trainloop.Group(lr=0.5)}),
    "`groups` must be None with several optimizers",
  ),
  "micro-batches": (wrong(accumulate=2), "`accumulate` must be 1 with several"),
  "bias correction": (wrong(bias_correction="exact"), "'keras' with several"),
  "averages": (
    wrong(average=trainloop.ScheduleFree()),
    "`average` must be an EMA, a CycleAverage or None with several",
  ),
  "own averages": (
    wrong(
      optimizer={
        "generator": adam,
        "discriminator": lambda: keras.optimizers.SGD(0.1, use_ema=True),
      }
    ),
    "`optimizer['discriminator'].use_ema` must be False",
  ),
  "no name of an optimizer": (
    wrong(optimizer={"generator": "sgdx", "discriminator": adam}),
    "`optimizer['generator']` must be one of",
  ),
  "the sum, too": (
    wrong(
      step=lambda m, x, y, training: {**step(m, x, y, training), "loss": 1}
    ),
    "without 'loss', which is the sum of generator, discriminator",
  ),
  "not the first schedule": (
    wrong(schedule={"discriminator": RATES["discriminator"]}),
    "{name: kernel} of generator, discriminator, 'generator' among them",
  ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_is_refused(case, tmp_path):
  call, text = REFUSED[case]
  with pytest.raises(ValueError) as error:
    call(tmp_path / "run")
  assert text in str(error.value) and "\n" not in str(error.value)
  assert not (tmp_path / "run").exists()


def test_keras_own_way_is_named():
  several = keras.optimizers.MultiOptimizer(lambda v: keras.optimizers.SGD())
  with pytest.raises(ValueError, match="MultiOptimizer") as error:
    small.loop(optimizer=several)
  assert "a dict {name: trainloop.Part(optimizer, v" in str(error.value)
