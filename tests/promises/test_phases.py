"""A fit that trains a part of the model, and the fit after it."""

import keras
import numpy as np
import pytest

import kernels
import trainloop
from support import interruption, small

HEAD = "head/.*"
LONG = pytest.mark.long


def net():
  keras.utils.set_random_seed(0)
  return keras.Sequential(
    [
      keras.layers.Input((8,)),
      keras.layers.Dense(6, name="body"),
      keras.layers.BatchNormalization(name="norm"),
      keras.layers.Activation("relu"),
      keras.layers.Dense(3, name="head"),
    ]
  )


def make(workdir=None, **options):
  return small.loop(
    net(),
    keras.optimizers.Adam(0.01),
    loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    workdir=workdir,
    **{"compile": "graph", "steps_per_loop": 5, **options},
  )


def phases(loop):
  """Frozen, then freed; the bytes of all that is left."""
  first = loop.fit(small.data(), 2, trainable=HEAD)
  decay = kernels.Cosine(0.01, 24)
  second = loop.fit(small.data(), 2, schedule=decay)
  rows = [v.tobytes() for h in (first, second) for v in h.rows.values()]
  return small.state_of(loop), rows


@pytest.fixture(scope="module")
def whole():
  return phases(make())


@pytest.mark.parametrize("engine", ["graph", "xla"])
def test_a_frozen_part_rests_and_the_rest_is_keras(engine):
  loop = make(compile=engine)
  history = loop.fit(small.data(shuffle=False), 1, trainable=HEAD)
  want = net()
  for layer in want.layers[:-1]:
    layer.trainable = False  # its BatchNormalization is in inference mode
  want.compile(
    keras.optimizers.Adam(0.01),
    keras.losses.SparseCategoricalCrossentropy(from_logits=True),
  )
  x, y = small.arrays()
  want.fit(x, y, batch_size=8, shuffle=False, verbose=0)
  pairs = zip(loop.model.variables, want.variables, strict=True)
  for mine, theirs in pairs:
    np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=1e-6)
  for mine, first in zip(loop.model.layers[:3], net().layers[:3], strict=True):
    for one, other in zip(mine.get_weights(), first.get_weights(), strict=True):
      assert one.tobytes() == other.tobytes()
  assert np.isfinite(history.rows["grad_norm"]).all()
  assert all(layer.trainable for layer in loop.model.layers)


def test_one_more_program_a_phase():
  loop = make(compile="xla")
  phases(loop)
  assert loop.traces == 2
  loop.fit(small.data(), 1, trainable=HEAD)
  assert loop.traces == 2


def test_two_phases_in_other_windows_are_the_same_bytes(whole):
  assert phases(make(steps_per_loop=7)) == whole


@pytest.mark.parametrize("windows", [2, 7])
def test_phases_that_were_cut_go_on_to_the_byte(whole, tmp_path, windows):
  run = tmp_path / "run"
  options = {"checkpoint_every": "4st"}
  interruption.cut_after(windows, lambda: phases(make(run, **options)))
  assert phases(make(run, **options)) == whole


def fine_tuned(workdir=None):
  """Head, then all with layer decay; averages are judged; the bytes left."""
  loop = make(
    workdir,
    average=trainloop.EMA(0.9),
    early_stopping=trainloop.EarlyStopping(
      "val_loss", patience=1, restore="all"
    ),
    groups=lambda net: trainloop.layer_decay(net, 0.5),
    checkpoint_every="4st",
  )
  histories = [
    loop.fit(small.data(), epochs, validation=small.validation(), **more)
    for epochs, more in (
      (1, {"trainable": HEAD}),
      (3, {"schedule": kernels.OneCycle(0.05, 36)}),
    )
  ]
  moved = [v.numpy().tobytes() for v in loop.trainee.state.average.copies]
  rows = [v.tobytes() for h in histories for v in h.rows.values()]
  epochs = [str(history.epochs) for history in histories]
  return small.state_of(loop), moved, rows, epochs


@pytest.fixture(scope="module")
def whole_tuning():
  return fine_tuned()


@pytest.mark.parametrize(
  "windows",
  [1, pytest.param(4, marks=LONG), 6, 9, pytest.param(11, marks=LONG)],
)
def test_a_fine_tuning_that_was_cut_goes_on_to_the_byte(
  whole_tuning, tmp_path, windows
):
  interruption.cut_after(windows, lambda: fine_tuned(tmp_path / "run"))
  assert fine_tuned(tmp_path / "run") == whole_tuning


def test_the_trainable_part_belongs_to_the_run(tmp_path):
  make(tmp_path / "run").fit(small.data(), 1, trainable=HEAD)
  with pytest.raises(ValueError, match="trainable"):
    make(tmp_path / "run").fit(small.data(), 1)


BAD = {
  "nothing": "a pattern of trainable variables, as body/kernel, body/bias",
  "(": "a regular expression of variables' paths",
  3: "a regular expression of variables' paths",
}


@pytest.mark.parametrize("pattern", BAD)
def test_a_bad_pattern_is_refused_in_a_line(pattern, tmp_path):
  loop = make(tmp_path / "run")
  with pytest.raises(ValueError) as error:
    loop.fit(small.data(), 1, trainable=pattern)
  assert BAD[pattern] in str(error.value) and "\n" not in str(error.value)
  assert not (tmp_path / "run").exists()


def test_a_pattern_of_two_meanings_is_refused():
  """Where the process made a layer before, Keras counts otherwise."""
  keras.backend.clear_session()
  keras.layers.Dense(3)
  net = small.model()
  loop = small.loop(net, compile="graph")
  with pytest.raises(ValueError, match="one meaning") as error:
    loop.fit(small.data(), 1, trainable="dense_1/.*")
  assert "dense_2/kernel" in str(error.value)
  loop.fit(small.data(), 1, trainable="dense_2/.*")


def test_what_groups_froze_is_not_freed():
  groups = {"head/.*": trainloop.Group(lr=0.0)}
  with pytest.raises(ValueError) as error:
    make(groups=groups).fit(small.data(), 1, trainable=HEAD)
  assert str(error.value) == (
    "`trainable` must be a pattern of trainable variables, as body/kernel, "
    "body/bias, norm/gamma, norm/beta (head/kernel, head/bias have lr=0 in "
    "groups['head/.*']: give a factor above 0 there, or a kernel of factors, "
    "as kernels.PiecewiseConstant([100], [0.0, 1.0])); got 'head/.*'"
  )


@pytest.mark.parametrize("argument", ["trainable", "groups"])
def test_what_keras_froze_is_named(argument):
  frozen = net()
  frozen.get_layer("body").trainable = False
  pattern, options = "body/.*", {}
  if argument == "groups":
    options["groups"] = {pattern: trainloop.Group(lr=0.1)}
  loop = small.loop(frozen, compile="graph", **options)
  phase = {"trainable": pattern} if argument == "trainable" else {}
  with pytest.raises(ValueError) as error:
    loop.fit(small.data(), 1, **phase)
  assert f"`{argument}` must be " in str(error.value)
  assert str(error.value).endswith(
    "of trainable variables, as norm/gamma, norm/beta, head/kernel, head/bias "
    "(body/kernel, body/bias have trainable=False in Keras: set "
    "layer.trainable = True before the loop is made); got 'body/.*'"
  )


def test_statistics_are_told_from_weights():
  rule = r"\(norm/moving_mean, norm/moving_variance are moved by no optimizer\)"
  with pytest.raises(ValueError, match=rule):
    make().fit(small.data(), 1, trainable="norm/moving.*")


def test_the_summary_says_what_is_trained(capsys):
  loop = make(verbose=True)
  loop.fit(small.data(), 1, trainable=HEAD)
  assert "phase     trains 21 of 87 parameters, head/.*\n" in _told(capsys)
  loop.fit(small.data(), 1, schedule=kernels.Constant(0.01))
  assert "phase " not in _told(capsys)


def _told(capsys):
  found = capsys.readouterr()
  return found.out + found.err
