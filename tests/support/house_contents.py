"""The walls inside a file: whose attributes it touches, how long things are.

Rules as in `house`, with its `Module`s and `Violation`s.
"""

import ast

from support.house import (
  MOST_CODE_LINES,
  MOST_LINES,
  MOST_MEMBERS,
  Violation,
)

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_SCOPES = (*_FUNCTIONS, ast.ClassDef)
# Public by their documentation, whatever they begin with.
_DOCUMENTED = {"_asdict", "_exit", "_fields", "_make", "_replace"}
# Methods that Python, for streams, and Keras, for metrics, describe.
_PROTOCOLS = {
  "flush",
  "get_config",
  "reset_state",
  "result",
  "update_state",
  "write",
  "writelines",
}
_SETTERS = {"setattr", "delattr", "object.__setattr__"}
_DICT_SETTERS = (".update", ".pop", ".setdefault", ".clear")
# Packages of other libraries that are theirs alone.
_PRIVATE_PACKAGES = ("tensorflow.python", "keras.src")


def private(modules):
  """No `_name` of another module is used.

  Private is what begins with one underscore. A name that this module defines
  is its own, except on a module that it imports.
  """
  for one in modules:
    defined, imported = _defined(one.tree), _bound_by_imports(one.tree)
    for node in ast.walk(one.tree):
      for owner, name in _private_names(node):
        if name not in defined or owner in imported:
          symbol = f"{owner}.{name}" if owner else name
          advice = "is private there: use or make a public name"
          yield Violation(one.path, node.lineno, "private", symbol, advice)


def _private_names(node):
  """(owner, name) of what is private in what a node reads."""
  pairs = []
  if isinstance(node, ast.Attribute):
    pairs = [(node.value, node.attr)]
  elif isinstance(node, ast.Call) and len(node.args) > 1:
    if ast.unparse(node.func) in ("getattr", "hasattr", "setattr", "delattr"):
      pairs = [(node.args[0], _constant(node.args[1]))]
  elif isinstance(node, ast.Subscript) and (owner := _members(node.value)):
    pairs = [(owner, _constant(node.slice))]
  elif isinstance(node, ast.Import):
    names = [alias.name for alias in node.names]
    return [("", name) for name in names if _is_private_path(name)]
  elif isinstance(node, ast.ImportFrom):
    names = [f"{node.module or ''}.{alias.name}" for alias in node.names]
    return [("", name) for name in names if _is_private_path(name)]
  return [(ast.unparse(o), n) for o, n in pairs if _is_private(n)]


def _members(node):
  """The object whose attributes a dict holds: `vars(x)`, `x.__dict__`."""
  if isinstance(node, ast.Call) and ast.unparse(node.func) == "vars":
    return node.args[0] if node.args else None
  dictionary = isinstance(node, ast.Attribute) and node.attr == "__dict__"
  return node.value if dictionary else None


def _constant(node):
  value = node.value if isinstance(node, ast.Constant) else ""
  return value if isinstance(value, str) else ""


def _is_private(name):
  dunder = name.startswith("__") and name.endswith("__")
  return name.startswith("_") and not dunder and name not in _DOCUMENTED


def _is_private_path(name):
  inside = any(f"{name}.".startswith(f"{p}.") for p in _PRIVATE_PACKAGES)
  return inside or any(map(_is_private, name.split(".")))


def _defined(tree):
  """Names of functions, classes, variables and attributes of a module."""
  names = set()
  for node in ast.walk(tree):
    if isinstance(node, _SCOPES):
      names.add(node.name)
    elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
      names.add(node.id)
    elif isinstance(node, ast.Attribute) and _is_self(node.value):
      names |= {node.attr} if isinstance(node.ctx, ast.Store) else set()
  return names


def _bound_by_imports(tree):
  return {
    alias.asname or alias.name.partition(".")[0]
    for node in ast.walk(tree)
    if isinstance(node, (ast.Import, ast.ImportFrom))
    for alias in node.names
  }


def _is_self(node):
  return isinstance(node, ast.Name) and node.id in ("self", "cls")


def foreign(modules):
  """No attribute of another's object is set or deleted.

  A module sets attributes of `self`, of its own functions and classes, and of
  what it makes or takes as an instance of a class of its own; and none of
  theirs one level deeper.
  """
  for one in modules:
    classes = {
      n.name for n in ast.walk(one.tree) if isinstance(n, ast.ClassDef)
    }
    yield from _foreign_in(one, one.tree, classes, {"self", "cls"})


def _foreign_in(one, scope, classes, own):
  """The violations in a scope and the ones inside it."""
  nodes = list(_directly(scope))
  own = own | _made_here(scope, nodes, classes)
  for node in nodes:
    for owner, symbol in _set_by(node):
      if not (isinstance(owner, ast.Name) and owner.id in own):
        advice = "is set from outside: call a method of its owner"
        yield Violation(one.path, node.lineno, "foreign", symbol, advice)
    if isinstance(node, (*_SCOPES, ast.Lambda)):
      yield from _foreign_in(one, node, classes, own)


def _directly(scope):
  """The nodes of a scope without those of scopes inside it."""
  for node in ast.iter_child_nodes(scope):
    yield node
    if not isinstance(node, (*_SCOPES, ast.Lambda)):
      yield from _directly(node)


def _made_here(scope, nodes, classes):
  """Names in a scope that are instances of classes of this module."""
  names = {n.name for n in nodes if isinstance(n, _SCOPES)}
  for node in nodes:
    if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
      maker = ast.unparse(node.value.func)
      made = maker in classes | {"cls", "type(self)", "threading.local"}
      copied = ast.unparse(node.value) == "copy.copy(self)"
      if made or copied or maker.endswith("__new__"):
        names |= {t.id for t in node.targets if isinstance(t, ast.Name)}
  if isinstance(scope, _FUNCTIONS):
    arguments = scope.args
    for argument in [*arguments.posonlyargs, *arguments.args,
                     *arguments.kwonlyargs]:  # fmt: skip
      kind = argument.annotation
      if kind is not None and ast.unparse(kind).strip("'\"") in classes:
        names.add(argument.arg)
  return names


def _set_by(node):
  """(owner, symbol) of each attribute that a node sets or deletes."""
  if isinstance(node, (ast.Attribute, ast.Subscript)):
    if isinstance(node.ctx, (ast.Store, ast.Del)):
      owner = node.value
      if isinstance(node, ast.Subscript):
        owner = _members(node.value)
      if owner is not None:
        yield owner, ast.unparse(node)
  elif isinstance(node, ast.Call):
    function = ast.unparse(node.func)
    if function in _SETTERS and node.args:
      yield node.args[0], f"{function}({ast.unparse(node.args[0])})"
    elif function.endswith(_DICT_SETTERS) and (o := _members(node.func.value)):
      yield o, f"{function}()"


def lengths(modules):
  """Files, functions and classes that a reader has in view at once."""
  for one in modules:
    count = len(one.text.splitlines())
    if count > MOST_LINES:
      advice = f"{count} lines, at most {MOST_LINES}: cut where a duty ends"
      yield Violation(one.path, 1, "lengths", "file", advice)
    for node in ast.walk(one.tree):
      if isinstance(node, _FUNCTIONS):
        count = len(_code_lines(node, one.text.splitlines()))
        if count > MOST_CODE_LINES:
          advice = f"{count} code lines, at most {MOST_CODE_LINES}: name a part"
          yield Violation(one.path, node.lineno, "lengths", node.name, advice)


def _code_lines(function, lines):
  """Lines of a body: no signature, docstring, comment or blank one."""
  numbers = set()
  for statement in function.body:
    decorators = getattr(statement, "decorator_list", [])
    first = min([statement.lineno, *(d.lineno for d in decorators)])
    numbers |= set(range(first, statement.end_lineno + 1))
  for node in ast.walk(function):
    if isinstance(node, _SCOPES) and ast.get_docstring(node) is not None:
      text = node.body[0]
      numbers -= set(range(text.lineno, text.end_lineno + 1))
  codes = {n: lines[n - 1].strip() for n in numbers}
  return {n for n, code in codes.items() if code and code[0] != "#"}


def members(modules):
  """Classes of few public methods and attributes, own ones."""
  for one in modules:
    for node in ast.walk(one.tree):
      if isinstance(node, ast.ClassDef):
        names = _public_members(node)
        if len(names) > MOST_MEMBERS:
          advice = f"{len(names)} public members, at most {MOST_MEMBERS}: "
          advice += ", ".join(sorted(names))
          yield Violation(one.path, node.lineno, "members", node.name, advice)


def _public_members(kind):
  names = {n.name for n in kind.body if isinstance(n, _SCOPES)}
  for statement in kind.body:
    if isinstance(statement, (ast.Assign, ast.AnnAssign)):
      names |= {
        n.id
        for n in ast.walk(statement)
        if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
      }
    elif isinstance(statement, _FUNCTIONS):
      names |= {
        n.attr
        for n in ast.walk(statement)
        if isinstance(n, ast.Attribute)
        and isinstance(n.ctx, ast.Store)
        and _is_self(n.value)
      }
  return {name for name in names if not name.startswith("_")}


def docstrings(modules):
  """Each file says what it is; each public name of the packages, too.

  A method that a base of its class describes needs no words of its own.
  """
  described = _described(modules)
  for one in modules:
    nodes = [("", one.tree)]
    if not one.path.startswith(("scripts/", "tests/")):
      nodes += _public(one.tree)
    for owner, node in nodes:
      text = ast.get_docstring(node)
      line, symbol = getattr(node, "lineno", 1), getattr(node, "name", "file")
      first = (text or "").partition("\n\n")[0].strip()
      inherited = text is None and symbol in described.get(owner, ())
      if not inherited and not first.endswith((".", ":", "?", ")")):
        advice = "say in a sentence what it is"
        yield Violation(one.path, line, "docstrings", symbol, advice)


def _public(scope, owner=""):
  """(class, node) of public functions, classes, and methods of those."""
  for node in scope.body:
    if isinstance(node, _SCOPES) and not node.name.startswith("_"):
      yield owner, node
      if isinstance(node, ast.ClassDef):
        yield from _public(node, node.name)


def _described(modules):
  """{class: names of the methods that its bases, or protocols, describe}."""
  kinds = {
    node.name: node
    for one in modules
    for node in ast.walk(one.tree)
    if isinstance(node, ast.ClassDef)
  }

  def bases(name):
    for base in kinds[name].bases:
      base = ast.unparse(base).rpartition(".")[2]
      if base in kinds and base != name:
        yield base
        yield from bases(base)

  return {
    name: _PROTOCOLS
    | {
      method.name
      for base in bases(name)
      for method in kinds[base].body
      if isinstance(method, _FUNCTIONS) and ast.get_docstring(method)
    }
    for name in kinds
  }
