"""Groups whose learning rates fall from the head of a model to its input."""

import re

import keras

from kernels import checks
from trainloop.model import groups as groups_lib
from trainloop.model.groups import Group

_MODEL = "a built keras.Model with trainable layers (call it first, or write "
_MODEL += "groups=lambda model: trainloop.layer_decay(model, ...))"


def layer_decay(
  model, rate=None, minimum=0.0, *, first=None, blocks=None, head=None
):
  """Groups whose learning rates fall from the head of a model to its input.

  Block i of L, counted from the input, has the factor
  max(rate^(L - 1 - i), minimum); the last one, the head, 1.

  Without `blocks` each of `model.layers` begins one, a nested model as a whole,
  but layers that have no weight of more than one axis, as normalizations,
  belong to the layer before. Sequential and functional models have their layers
  in the order of the call, others in that of their attributes: there, name the
  `blocks`. Weights of the model itself are in the first block.

  Args:
    model: a built keras.Model.
    rate: factor from one block to the block before, in (0, 1].
    minimum: least factor, in [0, 1].
    first: in place of `rate`, the first block's factor, in (0, 1]: rate is
      first^(1 / (L - 1)), as in fastai's slices.
    blocks: regular expressions of variables' paths, from the input to the head;
      a variable is in the first that matches it. With a group named "block",
      as r"block_(?P<block>\\d+)_.*", a pattern makes a block of each text that
      this matches. None for layers.
    head: regular expression of the paths of what is the last block, taken out
      of the others; None for what comes last.

  Returns:
    {pattern: `Group`} for `TrainLoop(groups=...)`.

  Raises:
    ValueError: if the model is not built, an argument breaks its rule, or a
      variable is in no block.

  He et al. 2021, "Masked Autoencoders Are Scalable Vision Learners"; timm's
  `param_groups_layer_decay`; Howard & Ruder 2018, "Universal Language Model
  Fine-tuning for Text Classification".
  """
  _check(model, rate, minimum, first, blocks)
  parts = _of_layers(model) if blocks is None else _of_patterns(model, blocks)
  if head is not None:
    parts = _with_head(parts, head, model)
  names, last = groups_lib.spellings(model)[0], len(parts) - 1
  groups = {}
  for i, places in enumerate(parts):
    if first is None:
      factor = rate ** (last - i)
    else:
      factor = first ** ((last - i) / max(last, 1))
    groups[_pattern(names, set(places))] = Group(lr=max(factor, minimum))
  return groups


def checked_blocks(blocks):
  """The argument `blocks` as a tuple of regular expressions, or raises."""
  if not isinstance(blocks, (list, tuple)):
    rule = "a list of regular expressions of variables' paths, or None"
    checks.fail("blocks", blocks, rule)
  for pattern in blocks:
    groups_lib.check_pattern("blocks", pattern)
  return tuple(blocks)


def _check(model, rate, minimum, first, blocks):
  if not isinstance(model, keras.Model):
    checks.fail("model", type(model).__name__, _MODEL)
  owners = model.layers if blocks is None else [model]
  if not any(one.trainable_variables for one in owners):
    checks.fail("model", model.name, _MODEL)
  if (rate is None) == (first is None):
    rule = "given, or `first`, and not both"
    checks.fail("rate", rate, rule)
  for name, value in {"rate": rate, "first": first}.items():
    if value is not None:
      checks.number(name, value, "a number in (0, 1]", lambda v: 0 < v <= 1)
  checks.fraction("minimum", minimum)


def _of_layers(model):
  """Positions of the variables of each block, from the input, as lists."""
  left = {id(v): i for i, v in enumerate(model.trainable_variables)}
  parts, has_kernel = [], False
  for layer in model.layers:
    # A variable of two layers belongs to the one that comes first.
    own = [v for v in layer.trainable_variables if id(v) in left]
    if not own:
      continue
    kernel = any(len(v.shape) > 1 for v in own)
    if not parts or (kernel and has_kernel):
      parts.append([])
      has_kernel = False
    parts[-1] += [left.pop(id(v)) for v in own]
    has_kernel = has_kernel or kernel
  parts[0] += left.values()
  return parts


def _of_patterns(model, blocks):
  """The same of patterns that name the blocks."""
  spellings, owner = groups_lib.spellings(model), {}
  for k, pattern in enumerate(checked_blocks(blocks)):
    found = next(filter(None, (_texts(pattern, n) for n in spellings)), {})
    new = {i: (k, text) for i, text in found.items() if i not in owner}
    if not new:
      rule = "patterns of trainable variables that those before leave, as "
      checks.fail("blocks", pattern, rule + ", ".join(spellings[0]))
    owner |= new
  for i, name in enumerate(spellings[0]):
    if i not in owner:
      rule = f"patterns that match every trainable variable ({name} is in none)"
      checks.fail("blocks", blocks, rule)
  parts = {}
  for i in sorted(owner, key=lambda i: (owner[i][0], i)):
    parts.setdefault(owner[i], []).append(i)
  return list(parts.values())


def _texts(pattern, names):
  """{position: what the group "block" is there} of what a pattern matches."""
  found = {i: re.fullmatch(pattern, name) for i, name in enumerate(names)}
  return {i: m.groupdict().get("block") for i, m in found.items() if m}


def _with_head(parts, head, model):
  """The blocks without what a pattern matches, and this behind them."""
  groups_lib.check_pattern("head", head)
  names, places = groups_lib.matches(head, model, "head")
  if not places:
    rule = f"a pattern of trainable variables, as {', '.join(names)}"
    checks.fail("head", head, rule)
  left = [[i for i in part if i not in places] for part in parts]
  return [*filter(None, left), list(places)]


def _pattern(names, places):
  """A short regular expression that matches the names of some places alone."""
  inside = [name for i, name in enumerate(names) if i in places]
  others = [name for i, name in enumerate(names) if i not in places]
  return "|".join(_cover(inside, others))


def _cover(names, others):
  """Patterns of the longest beginnings that names share and no others have."""
  low, high = min(names), max(names)  # all others begin as these two do
  same = next((k for k, c in enumerate(low) if high[k : k + 1] != c), len(low))
  common = low[:same]
  folder = common[: common.rfind("/") + 1]
  for start in filter(None, (folder, common)) if others else ("",):
    if not any(other.startswith(start) for other in others):
      whole = all(name == start for name in names)
      return [re.escape(start) + ("" if whole else ".*")]
  rest = [name for name in names if name != common]
  parts = [] if len(rest) == len(names) else [re.escape(common)]
  by_next = {}
  for name in rest:
    by_next.setdefault(name[len(common)], []).append(name)
  for some in by_next.values():
    parts += _cover(some, others)
  return parts
