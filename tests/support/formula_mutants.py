"""Formulas with one error: what a test of numbers must not let pass."""

import ast
import copy
import inspect

_SWAPS = {
  ast.Add: ast.Sub,
  ast.Sub: ast.Add,
  ast.Mult: ast.Div,
  ast.Div: ast.Mult,
}


def of(function):
  """Yields (name, function with one error), for each operator and number.

  Args:
    function: of a module, no closure; what its arguments are by default stays.
  """
  tree = ast.parse(inspect.getsource(function))
  for i, node in enumerate(_nodes(tree)):
    wrong = copy.deepcopy(tree)
    other = _nodes(wrong)[i]
    if _spoil(other):
      names = dict(function.__globals__)
      exec(compile(wrong, "mutant", "exec"), names)
      change = f"{ast.unparse(node)} -> {ast.unparse(other)}"
      yield f"{function.__name__}: {change}", names[function.__name__]


def _nodes(tree):
  """Those of a function's body, in the same order always."""
  return [node for one in tree.body[0].body for node in ast.walk(one)]


def _spoil(node):
  """Makes an operator or a number another one; whether it is either."""
  if isinstance(node, ast.BinOp) and type(node.op) in _SWAPS:
    node.op = _SWAPS[type(node.op)]()
  elif isinstance(node, ast.Constant) and type(node.value) in (int, float):
    node.value = node.value * 1.1 or 1.0
  else:
    return False
  return True
