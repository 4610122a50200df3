"""The recipe of fine-tuning: the head alone, then all of the model."""

import dataclasses

import kernels
from kernels import checks
from trainloop.model import groups as groups_lib
from trainloop.model import layer_decay as layer_decay_lib
from trainloop.recipes.recipe import Recipe

_MOMENTUM = (0.95, 0.85)


@dataclasses.dataclass(frozen=True)
class FineTuning:
  """A fine-tuning: one `Recipe` a fit, and the groups of the loop.

  Attributes:
    head: regular expression of the paths of what is new.
    lr_mult: learning rate of the head over that of the model's first block.
    phases: the `Recipe`s, in order, one a `fit`.
    blocks: regular expressions of the body's blocks, see `layer_decay`; None
      for its layers.
  """

  head: str
  lr_mult: float
  phases: tuple
  blocks: tuple | None = None

  def groups(self, model):
    """The groups of a model, for `TrainLoop(groups=...)`; see `layer_decay`.

    Args:
      model: a built keras.Model.

    Returns:
      {pattern: `Group`}: the body's blocks from 1 / lr_mult on, the head 1.

    Raises:
      ValueError: if a pattern matches nothing, or a variable is in no block.
    """
    blocks = None if self.blocks is None else [*self.blocks, self.head]
    first = 1.0 / self.lr_mult
    return layer_decay_lib.layer_decay(
      model, first=first, blocks=blocks, head=self.head
    )


def fine_tune(
  base_lr,
  epochs,
  freeze_epochs=1,
  lr_mult=100.0,
  *,
  head,
  blocks=None,
  momentum=_MOMENTUM,
):
  """1cycle of the head alone up to base_lr, then of all up to base_lr / 2.

  The first cycle rises for 99 % of its steps from base_lr / 25, with the body
  frozen; the second for 30 % from base_lr / 10, with the body's blocks between
  base_lr / 2 / lr_mult and base_lr / 2. Both are cosines and end at 1e-5 of
  their peak, at the step that would follow the last one. As in fastai, but
  frozen BatchNormalization is at rest, as in Keras, and slots go on.

    tuning = trainloop.recipes.fine_tune(1e-3, 5, head="head/.*")
    loop = trainloop.TrainLoop(..., groups=tuning.groups)
    for phase in tuning.phases:
      loop.fit(train, schedule=phase, validation=valid)

  Args:
    base_lr: highest rate of the head, in the first phase.
    epochs: epochs of the second phase, int >= 1.
    freeze_epochs: epochs of the first one, int >= 0; there is none with 0.
    lr_mult: learning rate of the head over that of the first block, >= 1.
    head: regular expression of the paths of what is trained first.
    blocks: regular expressions of the body's blocks, see `layer_decay`; None
      for its layers.
    momentum: (at low lr, at high lr), or None to leave it alone.

  Returns:
    A `FineTuning`.

  Raises:
    ValueError: if an argument breaks its rule.

  Howard & Gugger 2020, "fastai: A Layered API for Deep Learning";
  `Learner.fine_tune` of fastai 2.

  >>> tuning = trainloop.recipes.fine_tune(0.1, 2, head="head/.*")
  >>> frozen, free = [p.schedule_for(100) for p in tuning.phases]
  >>> frozen([0, 99]).learning_rate.numpy()
  array([0.004, 0.1  ], dtype=float32)
  >>> free([0, 60]).learning_rate.numpy()
  array([0.01, 0.05], dtype=float32)
  """
  checks.rate("base_lr", base_lr)
  checks.integer("epochs", epochs, 1)
  checks.integer("freeze_epochs", freeze_epochs, 0)
  rule = "a finite number >= 1"
  lr_mult = checks.number("lr_mult", lr_mult, rule, lambda v: v >= 1)
  groups_lib.check_pattern("head", head)
  checks.momentum_pair("momentum", momentum)
  if blocks is not None:
    blocks = layer_decay_lib.checked_blocks(blocks)
  text = f"fine_tune({base_lr!r}, {epochs!r}, {freeze_epochs!r}, {lr_mult:g})"

  def phase(peak, length, trained, rise, first_div):
    def make(steps, fit_epochs):
      return kernels.OneCycle(
        peak,
        steps * fit_epochs,
        warmup_fraction=rise,
        initial_div=first_div,
        final_div=1e5 / first_div,
        momentum=momentum,
        phase_ends="total",
      )

    return Recipe(text, make, length, trainable=trained)

  phases = [phase(base_lr / 2, epochs, None, 0.3, 5.0)]
  if freeze_epochs:
    phases.insert(0, phase(base_lr, freeze_epochs, head, 0.99, 25.0))
  return FineTuning(head, lr_mult, tuple(phases), blocks)
