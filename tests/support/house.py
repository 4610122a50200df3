"""The walls of the house, read from its syntax trees: no import of it is run.

A rule is a function: modules -> violations. `test_house.py` holds the
exceptions, and shows of each rule that it sees what it is there for.
"""

import ast
import collections
import pathlib
import sys
import typing

# A wing imports wings of lower levels alone; none of its own.
LEVELS = (
  ("kernels",),
  ("trainloop.base",),
  (
    "trainloop.data",
    "trainloop.devices",
    "trainloop.judging",
    "trainloop.display",
  ),
  ("trainloop.model",),
  ("trainloop.compiled", "trainloop.recipes", "trainloop.workdir"),
  ("trainloop.fit", "trainloop.sweep"),
  ("trainloop.loop",),
  ("trainloop",),
  ("scripts",),
)
MOST_ROOMS = 12
MOST_LINES = 320
MOST_CODE_LINES = 40
MOST_MEMBERS = 15

_LEVEL = {wing: i for i, wings in enumerate(LEVELS) for wing in wings}
_KERNELS_USE = {*sys.stdlib_module_names, "kernels", "numpy", "tensorflow"}
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


class Module(typing.NamedTuple):
  """A file of Python.

  Attributes:
    path: below the root, with "/".
    name: as the house imports it; that of `scripts/cli/x.py` is `cli.x`.
    text: the source.
    tree: its `ast.Module`.
  """

  path: str
  name: str
  text: str
  tree: ast.Module

  @property
  def wing(self):
    """The wing that it stands in."""
    return "scripts" if self.path.startswith("scripts/") else wing_of(self.name)

  @property
  def folder(self):
    """The dotted name that its relative imports begin with."""
    whole = self.path.endswith("__init__.py")
    return self.name if whole else self.name.rpartition(".")[0]


class Violation(typing.NamedTuple):
  """Where a wall is broken.

  Attributes:
    path, line: the place.
    rule: the rule's name.
    symbol: what an exception names: a function, a class, `x._name`.
    advice: what to do instead.
  """

  path: str
  line: int
  rule: str
  symbol: str
  advice: str

  def __str__(self):
    return f"{self.path}:{self.line}: {self.rule}: {self.symbol}: {self.advice}"


class Arrow(typing.NamedTuple):
  """An import of a module of the house; `top` unless inside a function."""

  line: int
  target: str
  top: bool


def read(root, folders=("kernels", "trainloop", "scripts")):
  """The modules of some folders below `root`."""
  paths = [p for f in folders for p in sorted((root / f).rglob("*.py"))]
  return [module(str(p.relative_to(root)), p.read_text()) for p in paths]


def module(path, text):
  """The `Module` of a path and a source."""
  parts = list(pathlib.PurePosixPath(path).with_suffix("").parts)
  parts = parts[1:] if parts[0] == "scripts" else parts
  parts = parts[:-1] if parts[-1] == "__init__" else parts
  return Module(path, ".".join(parts), text, ast.parse(text))


def wing_of(name):
  """The wing of a dotted name."""
  parts = name.split(".")
  return ".".join(parts[:2]) if parts[0] == "trainloop" else parts[0]


def arrows(one, names):
  """The imports of a module that are of the house, `names`."""
  inside = {
    id(node)
    for function in ast.walk(one.tree)
    if isinstance(function, _FUNCTIONS)
    for node in ast.walk(function)
  }
  result = []
  for node in ast.walk(one.tree):
    for dotted in _imported(node, one):
      # `from a import b` is of the module a.b, or of a name in the module a.
      target = next((d for d in dotted if d in names), None)
      if target is not None:
        result.append(Arrow(node.lineno, target, id(node) not in inside))
  return result


def _imported(node, one):
  """Of each name that a node imports: dotted names, the longest first."""
  if isinstance(node, ast.Import):
    return [(alias.name,) for alias in node.names]
  if isinstance(node, ast.ImportFrom):
    base = _absolute(node, one)
    return [(f"{base}.{alias.name}", base) for alias in node.names]
  if isinstance(node, ast.Call) and node.args:
    function, first = ast.unparse(node.func), node.args[0]
    if function.endswith("import_module") and isinstance(first, ast.Constant):
      return [(str(first.value),)]
  return []


def _absolute(node, one):
  if not node.level:
    return node.module
  base = one.folder.split(".")
  base = base[: len(base) - node.level + 1]
  return ".".join([*base, *([node.module] if node.module else [])])


def order(modules):
  """A wing imports lower wings; scripts/cli neither package at its import."""
  names = {one.name: one.wing for one in modules}
  for one in modules:
    if one.wing not in _LEVEL:
      yield Violation(one.path, 1, "order", one.wing, "give the wing a level")
      continue
    for line, target, top in arrows(one, names):
      wing = names[target]
      if wing != one.wing and _LEVEL.get(wing, 99) >= _LEVEL[one.wing]:
        advice = "is no lower wing: hand it in, or move what is shared down"
        yield Violation(one.path, line, "order", target, advice)
      elif advice := _script_order(one, target, wing, top):
        yield Violation(one.path, line, "order", target, advice)
    yield from _strangers(one)


def _script_order(one, target, wing, top):
  """What a folder of scripts/ may not import, in words; or ""."""
  folder = one.path.split("/")[1] if one.path.count("/") > 1 else ""
  if one.wing != "scripts" or not folder:
    return ""
  if wing != "scripts":
    early = folder == "cli" and top
    return "import it where a flag is used, after all are checked" * early
  home = target.partition(".")[0]
  alone = {"cli": {"cli"}, "examples": {"cli", "examples", "parent"}}
  allowed = home in alone.get(folder, {home})
  return "" if allowed else f"{folder} is copied without it"


def _strangers(one):
  """What is of no wing and not for a package."""
  packages = {"absl", "scripts", "tests"}
  for node in ast.walk(one.tree) if one.wing != "scripts" else ():
    for dotted in _imported(node, one):
      name = dotted[-1].partition(".")[0]
      bare = one.wing == "kernels" and name not in _KERNELS_USE
      if bare or name in packages:
        advice = "is for scripts: take an argument instead"
        if bare:
          advice = "kernels are TensorFlow, NumPy and Python alone"
        yield Violation(one.path, node.lineno, "order", dotted[-1], advice)


def circles(modules):
  """No circle of imports inside a wing; imports inside functions count."""
  names = {one.name: one for one in modules}
  graph = {
    one.name: sorted(
      {
        target
        for _, target, _ in arrows(one, names)
        if names[target].wing == one.wing and target != one.name
      }
    )
    for one in modules
  }
  seen = set()
  for start in graph:
    circle = _circle(graph, start)
    if circle and not seen & set(circle):
      advice = "hand one to the other, or move what both need to a third"
      symbol = " > ".join([*circle, start])
      yield Violation(names[start].path, 1, "circles", symbol, advice)
    seen |= set(circle)


def _circle(graph, start):
  """A shortest way from a node back to it, [start, ...]; [] if none leads."""
  ways = collections.deque([[start]])
  visited = set()
  while ways:
    way = ways.popleft()
    for node in graph[way[-1]]:
      if node == start:
        return way
      if node not in visited:
        visited.add(node)
        ways.append([*way, node])
  return []


def rooms(modules):
  """At most so many doors on the first level of trainloop/."""
  wings = {one.wing for one in modules if one.path.startswith("trainloop/")}
  wings = sorted(wings - {"trainloop"})
  if len(wings) > MOST_ROOMS:
    advice = f"{len(wings)} rooms, at most {MOST_ROOMS}: a wing has its place"
    yield Violation("trainloop", 1, "rooms", ", ".join(wings), advice)


def drawing(modules):
  """The rooms and their arrows, a line a wing: what it imports."""
  names = {one.name: one.wing for one in modules}
  lines = {}
  for one in modules:
    wings = {names[target] for _, target, _ in arrows(one, names)} - {one.wing}
    lines.setdefault(one.wing, set()).update(wings)
  ordered = sorted(lines, key=lambda wing: _LEVEL.get(wing, -1))
  return "\n".join(f"{w} -> {', '.join(sorted(lines[w]))}" for w in ordered)
