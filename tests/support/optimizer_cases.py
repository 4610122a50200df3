"""Every optimizer of Keras that a loop takes, with what changes its update.

A case is a run of two dense layers by one optimizer, by anybody who can apply
it; `expected` is what NumPy makes of it.
"""

import typing

import keras
import numpy as np

import kernels
from support import numpy_adaptive, numpy_optimizers

STEPS, CONSTANT, EXAMPLES = 20, 6, 8  # updates; the first of them; of a batch
BODY, BIAS, HEAD = range(3)  # the weights
_SHARED = ("weight_decay", "adam_weight_decay", "exclude_layers")
_CLIPS = ("clipnorm", "clipvalue", "global_clipnorm")
_RULES = {
  "SGD": numpy_optimizers.sgd,
  "RMSprop": numpy_optimizers.rmsprop,
  "Adagrad": numpy_optimizers.adagrad,
  "Adadelta": numpy_optimizers.adadelta,
  "Adam": numpy_adaptive.adam,
  "AdamW": numpy_adaptive.adam,
  "Adamax": numpy_adaptive.adamax,
  "Nadam": numpy_adaptive.nadam,
  "Ftrl": numpy_optimizers.ftrl,
  "Lion": numpy_optimizers.lion,
  "Lamb": numpy_adaptive.lamb,
  "Adafactor": numpy_adaptive.adafactor,
  "Muon": numpy_optimizers.muon,
}
_DECAY = {"AdamW": 0.004, "Muon": 0.004}
_MUON_ADAM_DECAY = 0.004


def rules():
  """The functions of NumPy's, each once."""
  return list(dict.fromkeys(_RULES.values()))


class Case(typing.NamedTuple):
  """One optimizer, its options and its hyperparameters over a run.

  Attributes:
    kind: its name in `keras.optimizers`.
    options: that it is made with.
    rate: of the first updates, and the highest of the others.
    moves: whether a schedule moves its momentum, too.
    names: what `exclude_from_weight_decay` is given as `var_names`.
    listed: positions of the weights that it is given as `var_list`.
    spared: positions of the weights that do not decay.
  """

  kind: str
  options: dict = {}
  rate: float = 0.05
  moves: bool = False
  names: tuple = ()
  listed: tuple = ()
  spared: tuple = ()

  @property
  def rule(self):
    return _RULES[self.kind]

  @property
  def attribute(self):
    """The option that a momentum of the schedule takes the place of."""
    velocity = self.kind in ("SGD", "RMSprop", "Muon")
    return "momentum" if velocity else "beta_1"

  @property
  def schedule(self):
    """Constant values, then moving ones."""
    first = kernels.Constant(self.rate, 0.9 if self.moves else None)
    then = kernels.OneCycle(
      self.rate,
      STEPS - CONSTANT,
      initial_div=4.0,
      final_div=2.0,
      momentum=(0.95, 0.7) if self.moves else None,
    )
    return kernels.Join([first, then], [CONSTANT])

  def rows(self):
    """(rate, {option: moved value}) of each update, as the loop has them."""
    rates, momenta = kernels.tabulate(self.schedule, STEPS)
    if momenta is None:
      return [(float(rate), {}) for rate in rates]
    pairs = zip(rates, momenta, strict=True)
    return [(float(rate), {self.attribute: float(m)}) for rate, m in pairs]


# All the options of an update of Muon's.
_MUON = {
  "momentum": 0.8,
  "nesterov": False,
  "ns_steps": 3,
  "muon_a": 3.0,
  "muon_b": -4.0,
  "muon_c": 1.8,
  "rms_rate": None,
  "adam_lr_ratio": 0.5,
  "adam_beta_1": 0.7,
  "adam_beta_2": 0.9,
  "epsilon": 0.05,
  "weight_decay": 0.5,
  "adam_weight_decay": 0.3,
  "exclude_layers": ["head"],
}
_FTRL = {
  "learning_rate_power": -0.7,
  "initial_accumulator_value": 0.4,
  "l1_regularization_strength": 0.03,
  "l2_regularization_strength": 0.2,
  "l2_shrinkage_regularization_strength": 0.1,
  "beta": 0.3,
}
_ADAM = {"beta_1": 0.8, "beta_2": 0.9, "epsilon": 0.05}
_ADAFACTOR = {
  "beta_2_decay": -0.5,
  "epsilon_1": 0.05,
  "epsilon_2": 0.6,
  "clip_threshold": 0.5,
}
_NO_BIAS = {"names": ("bias",), "spared": (BIAS,)}
_NO_BODY = {"names": ("body",), "spared": (BODY, BIAS)}
_NO_HEAD = {"listed": (HEAD,), "spared": (HEAD,)}
# Its own decay asks with the Keras variable, whose name is "kernel" alone.
_UNKNOWN_TO_MUON = ("body",)


def _case(kind, rate=0.05, moves=False, spared=None, **options):
  return Case(kind, options, rate, moves, **(spared or {}))


CASES = {
  "SGD": _case("SGD"),
  "SGD clipvalue": _case("SGD", momentum=0.9, clipvalue=0.05),
  "SGD nesterov": _case(
    "SGD", spared=_NO_BIAS, momentum=0.8, nesterov=True, weight_decay=0.5,
    global_clipnorm=0.5),
  "SGD moving": _case("SGD", moves=True, clipnorm=0.2),
  "SGD nesterov moving": _case("SGD", 0.02, moves=True, nesterov=True),
  "RMSprop": _case("RMSprop", 0.01),
  "RMSprop centered": _case(
    "RMSprop", 0.01, rho=0.8, momentum=0.7, centered=True, epsilon=0.01,
    clipnorm=0.3),
  "RMSprop moving": _case(
    "RMSprop", 0.01, moves=True, spared=_NO_HEAD, weight_decay=0.5),
  "Adagrad": _case("Adagrad"),
  "Adagrad options": _case(
    "Adagrad", 0.1, spared=_NO_BODY, initial_accumulator_value=0.5,
    epsilon=0.2, weight_decay=0.3),
  "Adadelta": _case("Adadelta", 10.0),
  "Adadelta options": _case(
    "Adadelta", 0.5, spared=_NO_HEAD, rho=0.8, epsilon=0.01, weight_decay=0.1),
  "Adam": _case("Adam"),
  "Adam options": _case(
    "Adam", **_ADAM, amsgrad=True, global_clipnorm=0.3),
  "Adam moving": _case(
    "Adam", moves=True, spared=_NO_HEAD, weight_decay=0.5),
  "AdamW": _case("AdamW"),
  "AdamW options": _case(
    "AdamW", spared=_NO_BODY, **_ADAM, amsgrad=True, weight_decay=0.5,
    clipvalue=0.1),
  "AdamW moving": _case("AdamW", moves=True, spared=_NO_BIAS, weight_decay=0.2),
  "Adamax": _case("Adamax"),
  "Adamax options": _case(
    "Adamax", spared=_NO_BIAS, **_ADAM, weight_decay=0.5),
  "Adamax moving": _case("Adamax", moves=True, clipnorm=0.1),
  "Nadam": _case("Nadam"),
  "Nadam options": _case(
    "Nadam", spared=_NO_HEAD, **_ADAM, weight_decay=0.5),
  "Nadam moving": _case("Nadam", moves=True, global_clipnorm=0.2),
  "Ftrl": _case("Ftrl", 0.2),
  "Ftrl options": _case(
    "Ftrl", 0.5, spared=_NO_BODY, **_FTRL, weight_decay=0.2, clipnorm=0.5),
  "Lion": _case("Lion", 0.01),
  "Lion options": _case(
    "Lion", 0.01, spared=_NO_BODY, beta_1=0.5, beta_2=0.7, weight_decay=0.5),
  "Lion moving": _case("Lion", 0.01, moves=True, clipvalue=0.1),
  "Lamb": _case("Lamb"),
  "Lamb options": _case(
    "Lamb", spared=_NO_BIAS, **_ADAM, weight_decay=0.5, clipvalue=0.1),
  "Lamb moving": _case("Lamb", moves=True, weight_decay=0.3),
  "Adafactor": _case("Adafactor", 0.4),
  "Adafactor options": _case(
    "Adafactor", 0.4, spared=_NO_HEAD, **_ADAFACTOR, relative_step=False,
    weight_decay=0.1, clipnorm=0.5),
  "Muon": _case("Muon"),
  "Muon options": _case("Muon", spared=_NO_BIAS, **_MUON, clipnorm=0.2),
  "Muon moving": _case(
    "Muon", moves=True, spared={**_NO_HEAD, "names": _UNKNOWN_TO_MUON},
    weight_decay=0.5),
}  # fmt: skip


def batches():
  """(x, y), float32, one batch an update after another."""
  rng = np.random.default_rng(3)
  x = rng.normal(size=(STEPS * EXAMPLES, 4))
  y = x @ rng.normal(size=(4, 2)) + 1.0
  return x.astype(np.float32), y.astype(np.float32)


def first_weights():
  """Of both layers; the bias is zero, where a norm is none."""
  rng = np.random.default_rng(5)
  body, head = (rng.normal(scale=0.6, size=n) for n in [(4, 3), (3, 2)])
  return [w.astype(np.float32) for w in (body, np.zeros(3), head)]


def model():
  """Two dense layers without activations, at `first_weights`."""
  net = keras.Sequential(
    [
      keras.layers.Input((4,)),
      keras.layers.Dense(3, name="body"),
      keras.layers.Dense(2, use_bias=False, name="head"),
    ]
  )
  net.set_weights(first_weights())
  return net


def optimizer(case, net):
  """The optimizer of a case, for a model."""
  kind = getattr(keras.optimizers, case.kind)
  made = kind(case.rate, **case.options)
  if case.names or case.listed:
    listed = [net.trainable_variables[i] for i in case.listed]
    made.exclude_from_weight_decay(listed, list(case.names))
  return made


def gradients(weights, step):
  """Of the mean squared error of an update's batch, float64."""
  rows = slice(step * EXAMPLES, (step + 1) * EXAMPLES)
  x, y = (values[rows].astype(np.float64) for values in batches())
  body, bias, head = weights
  hidden = x @ body + bias
  error = hidden @ head - y
  down = 2 * error / error.size
  back = down @ head.T
  return [x.T @ back, back.sum(0), hidden.T @ down]


def expected(case, rule=None):
  """The weights behind all updates of a case, float64.

  Args:
    case: a `Case`.
    rule: what stands in for its rule; None for that.
  """
  mine = {k: v for k, v in case.options.items() if k not in _CLIPS + _SHARED}
  options = [mine] * 3
  decays = [case.options.get("weight_decay", _DECAY.get(case.kind, 0.0))] * 3
  if case.kind == "Muon":
    options, decays = _of_muon(case, mine, decays[0])
  return numpy_optimizers.descend(
    rule or case.rule,
    [w.astype(np.float64) for w in first_weights()],
    gradients,
    case.rows(),
    [0.0 if i in case.spared else decay for i, decay in enumerate(decays)],
    {k: v for k, v in case.options.items() if k in _CLIPS},
    options,
  )


def _of_muon(case, options, decay):
  """Its options and decays by weight: Adam's weights have their own decay."""
  excluded = "exclude_layers" in case.options
  by_adam = [False, True, excluded]
  adams = case.options.get("adam_weight_decay", _MUON_ADAM_DECAY)
  decays = [adams if one else decay for one in by_adam]
  return [{**options, "by_adam": one} for one in by_adam], decays
