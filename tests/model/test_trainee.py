"""A trainee is built once, by the first data that everything takes."""

import keras
import pytest
import tensorflow as tf

import kernels
import trainloop
from support import small
from trainloop.compiled.programs import Programs
from trainloop.model.goal import Goal
from trainloop.model.trainee import Trainee, TraineeOptions


def ragged():
  """Batches that may differ in size, which XLA can't compile."""
  return tf.data.Dataset.from_tensor_slices(small.arrays()).batch(7)


def test_a_program_that_is_refused_leaves_no_state():
  loop = small.loop(compile="xla")
  for _ in range(2):
    with pytest.raises(ValueError, match="`compile` must be"):
      loop.fit(ragged(), 1)
    assert loop.trainee.state is None and loop.engine is None
    assert loop.global_step == 0 and loop.best == {}
  # The next data come first: none were taken before.
  x, y = small.arrays()
  loop.fit(trainloop.ArrayData(x, y, batch_size=8), 1)
  assert loop.engine.name == "xla" and loop.global_step == 12


def test_a_recipe_may_bring_a_judge_until_there_is_a_state():
  recipe = trainloop.recipes.autofit(0.1)
  mine = trainloop.EarlyStopping(patience=3)
  loop = small.loop(early_stopping=mine)
  loop.trainee.adopt(recipe)
  judging = loop.trainee.options.judging
  assert judging.early_stopping == mine  # what the loop was given stays
  assert judging.reduce_on_plateau == recipe.reduce_on_plateau
  loop.programs.build(small.data())
  loop.trainee.adopt(recipe)  # the same judge
  other = small.loop()
  other.programs.build(small.data())
  with pytest.raises(ValueError, match="brings a judge of its own"):
    other.trainee.adopt(recipe)


@pytest.mark.parametrize(
  ("goal", "name"),
  [
    ({"metrics": "accuracy"}, "metrics"),
    ({"loss": lambda y: y}, "loss"),
    ({"loss": "mse", "loss_weights": float("nan")}, "loss_weights"),
    ({"step": lambda x: x}, "step"),
    ({"loss": "mse", "step": lambda model, x, y, training: x}, "loss"),
  ],
)
def test_a_goal_is_checked_when_it_is_made(goal, name):
  with pytest.raises(ValueError, match=f"`{name}` must be"):
    Goal(**goal)


@pytest.mark.parametrize("seed", [-1, 2**32, 1.5, "0", True, None])
def test_a_seed_is_checked_before_a_model_is_made(seed):
  with pytest.raises(ValueError, match="`seed` must be"):
    TraineeOptions(Goal("mse"), seed=seed)


def test_it_has_slots_and_averages_once_a_schedule_is_known():
  adam = keras.optimizers.Adam(use_ema=True)
  options = TraineeOptions(Goal("sparse_categorical_crossentropy"))
  strategy = tf.distribute.get_strategy()
  trainee = Trainee(strategy, small.model, adam, options)
  programs = Programs(trainee, "graph")
  assert trainee.state is None and programs.engine is None
  programs.build(small.data())
  assert not trainee.moved()["optimizer"].keys() & {"dense/kernel_momentum"}
  trainee.prepare(kernels.Constant(0.1))
  moved = trainee.moved()
  held = {id(v) for group in moved.values() for v in group.values()}
  assert len(held) == sum(map(len, moved.values()))
  assert {id(v) for v in trainee.learnt()} <= held
  assert "dense/kernel_momentum" in moved["optimizer"]
  assert trainee.state.average
