"""Fine-tuning: fastai's cycles, what is frozen, groups, and every cut."""

import keras
import numpy as np
import pytest

import kernels
import trainloop
from support import interruption, small
from trainloop import recipes

HEAD = "(top|out)/.*"
STEPS = 12  # of an epoch of `small.data()`
EPOCHS = (2, 3)
BASE = 0.02
LONG = pytest.mark.long


def net():
  keras.utils.set_random_seed(0)
  return keras.Sequential(
    [
      keras.layers.Input((8,)),
      keras.layers.Dense(6, name="stem"),
      keras.layers.BatchNormalization(name="norm"),
      keras.layers.Activation("relu"),
      keras.layers.Dense(6, activation="relu", name="body"),
      keras.layers.Dense(4, name="top"),
      keras.layers.Dense(3, name="out"),
    ]
  )


def make(workdir=None, **options):
  return small.loop(
    net(),
    keras.optimizers.Adam(0.01),
    loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    workdir=workdir,
    **{
      "compile": "graph",
      "steps_per_loop": 5,
      "checkpoint_every": "4st",
      **options,
    },
  )


def tuning():
  frozen, free = EPOCHS
  return recipes.fine_tune(BASE, free, frozen, 16, head=HEAD)


def tuned(workdir=None, **options):
  """(loop, histories) of both phases."""
  plan = tuning()
  loop = make(workdir, groups=plan.groups, **options)
  valid = small.validation()
  return loop, [
    loop.fit(small.data(), schedule=phase, validation=valid)
    for phase in plan.phases
  ]


def left(loop, histories):
  """The bytes of all that a run leaves."""
  rows = [v.tobytes() for h in histories for v in h.rows.values()]
  return small.state_of(loop), rows, [str(h.epochs) for h in histories]


@pytest.fixture(scope="module")
def whole():
  return tuned()


def fastai(total, rise, low, peak, final):
  """combined_cos of fastai 2 at the updates 0 ... total - 1, in float64."""
  share = np.arange(total) / total

  def cosine(start, end, part):
    return start + (1 + np.cos(np.pi * (1 - part))) * (end - start) / 2

  up = cosine(low, peak, share / rise)
  down = cosine(peak, final, (share - rise) / (1 - rise))
  return np.where(share < rise, up, down)


def test_rates_are_fastais(whole):
  _, (frozen, free) = whole
  first, second = (STEPS * n for n in EPOCHS)
  want = fastai(first, 0.99, BASE / 25, BASE, BASE / 1e5)
  np.testing.assert_allclose(frozen.rows["learning_rate"], want, rtol=1e-5)
  half = BASE / 2
  want = fastai(second, 0.3, half / 5, half, half / 1e5)
  np.testing.assert_allclose(free.rows["learning_rate"], want, rtol=1e-5)
  momenta = fastai(second, 0.3, 0.95, 0.85, 0.95)
  np.testing.assert_allclose(free.rows["momentum"], momenta, rtol=1e-5)


# The body's blocks: stem with norm 1/16, body 1/4.
GROUPS = {
  "stem/.*|norm/.*": trainloop.Group(lr=1 / 16),
  "body/.*": trainloop.Group(lr=1 / 4),
  "top/.*|out/.*": trainloop.Group(lr=1.0),
}


def test_groups_spread_from_the_first_block_to_the_head(whole):
  loop, (_, free) = whole
  assert tuning().groups(loop.model) == GROUPS
  rates = free.rows["learning_rate"]
  for pattern, group in GROUPS.items():
    own = free.rows[f"learning_rate/{pattern}"]
    assert own.tobytes() == (rates * np.float32(group.lr)).tobytes()


def test_blocks_of_the_body_can_be_named(whole):
  blocks = ["(stem|norm|body)/.*"]
  plan = recipes.fine_tune(BASE, 3, lr_mult=16, head=HEAD, blocks=blocks)
  factors = [group.lr for group in plan.groups(whole[0].model).values()]
  assert factors == [1 / 16, 1.0]


def test_it_is_the_two_fits_that_a_hand_would_write(whole):
  loop, valid = make(groups=GROUPS), small.validation()
  first, second = (STEPS * n for n in EPOCHS)
  more = {"phase_ends": "total"}
  frozen = kernels.OneCycle(BASE, first, 0.99, 25.0, 4e3, **more)
  free = kernels.OneCycle(BASE / 2, second, 0.3, 5.0, 2e4, **more)
  fit = {"data": small.data(), "validation": valid}
  histories = [
    loop.fit(epochs=EPOCHS[0], schedule=frozen, trainable=HEAD, **fit),
    loop.fit(epochs=EPOCHS[1], schedule=free, **fit),
  ]
  assert left(loop, histories) == left(*whole)


def test_only_the_head_moves_first():
  plan = tuning()
  loop = make(groups=plan.groups)
  loop.fit(small.data(), schedule=plan.phases[0])
  for mine, first in zip(loop.model.layers, net().layers, strict=True):
    pairs = zip(mine.get_weights(), first.get_weights(), strict=True)
    same = [one.tobytes() == other.tobytes() for one, other in pairs]
    assert not any(same) if mine.name in ("top", "out") else all(same)


@pytest.mark.parametrize(
  "windows", [2, pytest.param(5, marks=LONG), 8, pytest.param(12, marks=LONG)]
)
def test_a_run_killed_in_either_phase_goes_on_to_the_byte(
  whole, tmp_path, windows
):
  run = tmp_path / "run"
  interruption.cut_after(windows, lambda: tuned(run))
  assert left(*tuned(run)) == left(*whole)


def test_a_fit_may_name_what_it_trains_and_how_long(whole):
  frozen, free = tuning().phases
  loop = make()
  history = loop.fit(small.data(), 1, schedule=frozen, trainable="out/.*")
  assert len(history.rows["step"]) == STEPS
  names = ("out", "top")
  weights = [loop.model.get_layer(name).get_weights()[0] for name in names]
  first = [net().get_layer(name).get_weights()[0] for name in names]
  same = [
    a.tobytes() == b.tobytes() for a, b in zip(weights, first, strict=True)
  ]
  assert same == [False, True]
  # The loop's own recipe freezes in the first fit, another frees in the next.
  loop = make(schedule=frozen)
  loop.fit(small.data())
  stem = loop.model.get_layer("stem").get_weights()[0]
  assert stem.tobytes() == net().get_layer("stem").get_weights()[0].tobytes()
  loop.fit(small.data(), schedule=free)
  assert (
    stem.tobytes() != loop.model.get_layer("stem").get_weights()[0].tobytes()
  )


def test_without_frozen_epochs_there_is_one_phase():
  (free,) = recipes.fine_tune(0.1, 4, 0, head=HEAD).phases
  assert free.trainable is None and free.epochs == 4
  kernel = recipes.fine_tune(0.1, 4, head=HEAD, momentum=None).phases[0]
  assert not kernel.schedule_for(10).moves_momentum


BAD = {
  "base_lr": {"base_lr": -1.0},
  "epochs": {"epochs": 0},
  "freeze_epochs": {"freeze_epochs": -1},
  "lr_mult": {"lr_mult": 0.5},
  "head": {"head": "("},
  "blocks": {"blocks": "body/.*"},
  "momentum": {"momentum": 0.9},
}


@pytest.mark.parametrize("name", BAD)
def test_bad_arguments_are_refused_in_a_line(name):
  given = {"base_lr": 0.1, "epochs": 3, "head": HEAD, **BAD[name]}
  with pytest.raises(ValueError, match=f"`{name}` must be") as error:
    recipes.fine_tune(**given)
  assert "\n" not in str(error.value)


def test_a_head_of_nothing_is_refused_before_anything_is_there(tmp_path):
  plan = recipes.fine_tune(0.1, 3, head="tail/.*")
  for options in ({}, {"groups": plan.groups}):
    loop = make(tmp_path / "run", **options)
    with pytest.raises(ValueError, match="a pattern of trainable variables"):
      loop.fit(small.data(), schedule=plan.phases[0])
  assert not (tmp_path / "run").exists()
