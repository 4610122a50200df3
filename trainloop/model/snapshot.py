"""All that training moves as named tensors, and back."""

import tensorflow as tf

from kernels import checks

_ON_READ = tf.VariableSynchronization.ON_READ


class Snapshot:
  """Copies groups of variables, and puts copies back.

  A variable whose replicas differ (a moving statistic, a metric) is kept
  replica by replica; one that is mirrored, once.

  Args:
    groups: {group: {name: tf.Variable}}; see `variable_names.groups`.

  Attributes:
    shapes: {group: [[name, dtype, *shape] of each tensor, in order]}.
    dtypes: {"group/name" of the tensor: dtype}.
  """

  def __init__(self, groups):
    self._groups = {
      group: {k: v for name in named for k, v in _parts(name, named[name])}
      for group, named in groups.items()
    }
    self.shapes = {
      group: [[name, v.dtype.name, *v.shape] for name, (v, *_) in named.items()]
      for group, named in self._groups.items()
    }
    self.dtypes = {name: v.dtype for name, (v, *_) in self._named()}
    self._guarded = None

  def _named(self):
    return [
      (f"{group}/{name}", parts)
      for group, named in self._groups.items()
      for name, parts in named.items()
    ]

  def names_of(self, variables):
    """Names of the tensors that hold some of the variables, a list."""
    ids = {
      id(one) for v in variables for _, parts in _parts("", v) for one in parts
    }
    return [name for name, parts in self._named() if id(parts[0]) in ids]

  def take(self):
    """{name: tensor}; later updates of the variables leave them alone.

    TensorFlow copies on write: what is read here stays, and the next update
    makes new memory, so this costs no more than one copy of the state.
    """
    return {name: v.read_value() for name, (v, *_) in self._named()}

  def put_back(self, tensors):
    """Sets variables to what `take` gave, or to a part of that."""
    for name, parts in self._named():
      for variable in parts if name in tensors else ():
        variable.assign(tensors[name])

  def check(self, shapes):
    """Refuses names and shapes of another model.

    Args:
      shapes: `shapes` of the model that was saved.

    Raises:
      ValueError: naming the first variable that differs, old and new. An
        order of its own is another model's, too: the copies of best weights
        have the weights' order.
    """
    for name, new in self.shapes.items():
      old = shapes.get(name)
      if old != new:
        rule = f"that of the run's checkpoint, {_difference(old, new)}"
        checks.fail(name, f"{len(new)} variables", rule)

  def first_nonfinite(self, tensors, groups=("model", "optimizer")):
    """The name of a tensor that holds NaN or infinity; None if there is none.

    What was not finite the first time (a mask of -inf, say) is not asked.
    """
    bad = [
      name
      for name, tensor in tensors.items()
      if name.split("/")[0] in groups
      and tensor.dtype.is_floating
      and not bool(tf.reduce_all(tf.math.is_finite(tensor)))
    ]
    if self._guarded is None:
      self._guarded = set(tensors) - set(bad)
    return next((name for name in bad if name in self._guarded), None)


def _parts(name, variable):
  """[(name, variables that hold the same)] of a variable over its replicas."""
  replicas = list(getattr(variable, "values", ()) or [variable])
  if getattr(variable, "synchronization", None) == _ON_READ:
    return [(f"{name}/replica_{i}", [v]) for i, v in enumerate(replicas)]
  return [(name, replicas)]


def _difference(old, new):
  """The first variable that differs, in words."""
  for i, (a, b) in enumerate(zip(old or [], new, strict=False)):
    if a != b:
      return f"whose variable {i} is {_in_words(*a)} and not {_in_words(*b)}"
  return f"which has {len(old or [])} variables"


def _in_words(name, dtype, *shape):
  return f"{name} {dtype} {shape}"
