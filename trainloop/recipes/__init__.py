"""Recipes: schedules in epochs, in ktrain's and fastai's vocabulary.

  loop = trainloop.TrainLoop(..., schedule=trainloop.recipes.autofit(5e-3))
  loop.fit(train, validation=valid)          # what autofit brings
  loop.fit(train, 3, schedule=trainloop.recipes.one_cycle(5e-4))

A recipe becomes a kernel once the steps of an epoch are known.

Enters: rates, epochs, what the head is. Leaves: a `Recipe`, which makes the
kernel and says what it brings to a fit; of fine-tuning one a phase, and groups.

May import: model and below; never compiled or workdir.
"""

from trainloop.recipes.cycles import autofit, one_cycle, sgdr
from trainloop.recipes.decays import (
  function,
  step_drop,
  time_based,
  warmup_cosine,
)
from trainloop.recipes.fine_tuning import FineTuning, fine_tune
from trainloop.recipes.recipe import Recipe

__all__ = [
  "FineTuning",
  "Recipe",
  "autofit",
  "fine_tune",
  "function",
  "one_cycle",
  "sgdr",
  "step_drop",
  "time_based",
  "warmup_cosine",
]
