"""Numeric options of the updates: mixed precision, micro-batches."""

import contextlib
import dataclasses

import keras

from kernels import checks

_LOW = ("bfloat16", "float16")


@dataclasses.dataclass(frozen=True)
class Numerics:
  """In what precision and in how many parts an update is computed.

  Args:
    mixed_precision: None for what the model's layers say, or "bfloat16" or
      "float16": layers compute in it, weights stay float32. In float16 the
      loss is scaled; an update that the scale is too large for is skipped
      whatever `on_nonfinite` says, and its row says so. Micikevicius et al.
      2018, "Mixed Precision Training".
    accumulate: micro-batches of an update, int >= 1; see `InMicroBatches`.

  Raises:
    ValueError: if a field breaks its rule.
  """

  mixed_precision: str | None = None
  accumulate: int = 1

  def __post_init__(self):
    if self.mixed_precision is not None:
      checks.choice("mixed_precision", self.mixed_precision, _LOW)
    checks.integer("accumulate", self.accumulate, 1)
    check_floatx()

  @property
  def scales_loss(self):
    """Whether gradients may underflow unless the loss is scaled."""
    return self.mixed_precision == "float16"

  @property
  def identity(self):
    """What a run that goes on must have, too; JSON types, without defaults."""
    found = dataclasses.asdict(self)
    plain = dataclasses.asdict(Numerics())
    return {name: v for name, v in found.items() if v != plain[name]}

  @contextlib.contextmanager
  def scope(self):
    """Layers that are made inside have the policy of the mixed precision."""
    if self.mixed_precision is None:
      yield
      return
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(f"mixed_{self.mixed_precision}")
    try:
      yield
    finally:
      keras.config.set_dtype_policy(before)

  def check_model(self, model):
    """Refuses layers of another policy; plain float32 ones may be among them.

    Raises:
      ValueError: in one line, that says what to do.
    """
    check_floatx()
    found = {layer.dtype_policy.name for layer in _layers(model)}
    low = sorted(name for name in found if name.endswith(_LOW))
    if self.mixed_precision is None:
      if any(not name.endswith("bfloat16") for name in low):
        rule = "'float16', the precision of the model's layers"
        checks.fail("mixed_precision", None, f"{rule}, which scales the loss")
      return
    policy = f"mixed_{self.mixed_precision}"
    if low != [policy]:
      rule = f"of layers of the policy {policy!r}, as a callable makes them"
      checks.fail("model", ", ".join(sorted(found)), rule)

  def check_optimizer(self, optimizer):
    """Refuses a loss scale of the optimizer's own beside the loop's."""
    factor = optimizer.loss_scale_factor
    if self.scales_loss and factor is not None:
      rule = "None with mixed_precision='float16', which scales the loss itself"
      checks.fail("optimizer.loss_scale_factor", factor, rule)

  def check_batches(self, source, replicas):
    """Refuses an update's examples that micro-batches can't share equally.

    Args:
      source: a data source of training.
      replicas: how many share each batch, int.
    """
    size = source.batch_size
    if self.accumulate == 1 or size is None:
      return
    if size % (self.accumulate * replicas):
      parts = f"`accumulate` = {self.accumulate}"
      if replicas > 1:
        parts = f"{parts} times {replicas} replicas"
      checks.fail("batch_size", size, f"a multiple of {parts}")

  def check_parts(self, model, replicas):
    """Refuses what comes out otherwise in micro-batches, without a warning.

    Args:
      model: a built keras.Model.
      replicas: int.
    """
    if self.accumulate == 1:
      return
    for layer in _layers(model):
      if replicas > 1 and getattr(layer, "synchronized", False):
        rule = "False where several replicas accumulate micro-batches"
        checks.fail(f"{layer.name}.synchronized", True, rule)


def check_floatx():
  """Refuses another default type of Keras: updates compute in float32.

  Raises:
    ValueError: in one line, that says the line to write.
  """
  rule = "'float32': write keras.config.set_floatx(\"float32\")"
  if keras.config.floatx() != "float32":
    checks.fail("keras.config.floatx()", keras.config.floatx(), rule)


def _layers(model):
  """The layers that compute, also those of models in it."""
  found = []
  for layer in getattr(model, "layers", ()):
    inner = isinstance(layer, keras.Model)
    found += _layers(layer) if inner else [layer]
  found = [one for one in found if not isinstance(one, keras.layers.InputLayer)]
  return found or [model]
