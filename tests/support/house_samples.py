"""Small houses: with a violation planted in each, and clean ones.

PLANTED: name -> (rule, {path: source}, how the line of the violation begins).
CLEAN: name -> (rule, {path: source}).
"""

A, B = "trainloop/model/a.py", "trainloop/model/b.py"
HIGH, LOW = "trainloop/fit/high.py", "trainloop/data/low.py"
EMPTY = '"""A file."""'
CLI, COMMAND = "scripts/cli/a.py", "scripts/train.py"
WIDE = "\n".join(f"  self.a{i} = {i}" for i in range(16))
LONG = "def f():\n" + "\n".join(f"  a{i} = {i}" for i in range(41))

PLANTED = {
  "a higher wing": (
    "order",
    {LOW: "from trainloop.fit import high", HIGH: EMPTY},
    f"{LOW}:1: order: trainloop.fit.high",
  ),
  "a wing of the same level": (
    "order",
    {LOW: "import trainloop.devices.x", "trainloop/devices/x.py": EMPTY},
    f"{LOW}:1: order: trainloop.devices.x",
  ),
  "a higher wing inside a function": (
    "order",
    {LOW: "def f():\n  from trainloop.fit.high import g", HIGH: EMPTY},
    f"{LOW}:2: order: trainloop.fit.high",
  ),
  "a higher wing by its name": (
    "order",
    {LOW: 'importlib.import_module("trainloop.fit.high")', HIGH: EMPTY},
    f"{LOW}:1: order: trainloop.fit.high",
  ),
  "a higher wing by dots": (
    "order",
    {LOW: "from ..fit import high", HIGH: EMPTY},
    f"{LOW}:1: order: trainloop.fit.high",
  ),
  "the public names": (
    "order",
    {LOW: "from trainloop import TrainLoop", "trainloop/__init__.py": EMPTY},
    f"{LOW}:1: order: trainloop:",
  ),
  "a wing without a level": (
    "order",
    {"trainloop/attic/a.py": EMPTY},
    "trainloop/attic/a.py:1: order: trainloop.attic",
  ),
  "flags in a package": (
    "order",
    {LOW: "from absl import flags"},
    f"{LOW}:1: order: absl",
  ),
  "a kernel with a helper": (
    "order",
    {"kernels/a.py": "import scipy.special"},
    "kernels/a.py:1: order: scipy.special",
  ),
  "flags that wait for TensorFlow": (
    "order",
    {CLI: "from kernels import checks", "kernels/checks.py": EMPTY},
    f"{CLI}:1: order: kernels.checks",
  ),
  "flags with a folder that is not copied": (
    "order",
    {CLI: "def f():\n  import training.job", "scripts/training/job.py": EMPTY},
    f"{CLI}:2: order: training.job",
  ),
  "a circle of two": (
    "circles",
    {A: "from trainloop.model import b", B: "from trainloop.model import a"},
    f"{A}:1: circles: trainloop.model.a > trainloop.model.b > trainloop.model",
  ),
  "a circle through a function": (
    "circles",
    {A: "def f():\n  from trainloop.model.b import g", B: "from . import a"},
    f"{A}:1: circles",
  ),
  "a circle of scripts": (
    "circles",
    {CLI: "def f():\n  import train", COMMAND: "from cli import a"},
    f"{CLI}:1: circles: cli.a > train > cli.a",
  ),
  "a thirteenth room": (
    "rooms",
    {f"trainloop/{name}.py": EMPTY for name in "abcdefghijklm"},
    "trainloop:1: rooms",
  ),
  "a private attribute": (
    "private",
    {A: "def f(source):\n  return source._rows"},
    f"{A}:2: private: source._rows",
  ),
  "a private attribute by its name": (
    "private",
    {A: 'x = getattr(source, "_rows", None)'},
    f"{A}:1: private: source._rows",
  ),
  "a private attribute in vars": (
    "private",
    {A: 'x = vars(source)["_rows"]'},
    f"{A}:1: private: source._rows",
  ),
  "a private attribute of a base": (
    "private",
    {A: "class X(b.Y):\n  def f(self):\n    return self._rows"},
    f"{A}:3: private: self._rows",
  ),
  "a private function": (
    "private",
    {A: "from trainloop.model.b import _g"},
    f"{A}:1: private: trainloop.model.b._g",
  ),
  "a private function of a module": (
    "private",
    {A: "from trainloop.model import b\ndef _g():\n  return b._g()"},
    f"{A}:3: private: b._g",
  ),
  "the inside of a library": (
    "private",
    {A: "from tensorflow.python.eager import context"},
    f"{A}:1: private: tensorflow.python.eager.context",
  ),
  "an attribute from outside": (
    "foreign",
    {A: "def f(history):\n  history.handled = 1"},
    f"{A}:2: foreign: history.handled",
  ),
  "an attribute one level deeper": (
    "foreign",
    {A: "class X:\n  def f(self):\n    self.history.handled += 1"},
    f"{A}:3: foreign: self.history.handled",
  ),
  "an attribute among others": (
    "foreign",
    {A: "def f(a):\n  b, (c, *a.rest) = 1, (2, 3)"},
    f"{A}:2: foreign: a.rest",
  ),
  "an attribute in a loop": (
    "foreign",
    {A: "def f(a):\n  for a.one in range(3):\n    pass"},
    f"{A}:2: foreign: a.one",
  ),
  "an attribute by its name": (
    "foreign",
    {A: 'def f(a):\n  setattr(a, "b", 1)'},
    f"{A}:2: foreign: setattr(a)",
  ),
  "an attribute in vars": (
    "foreign",
    {A: 'def f(a):\n  vars(a)["b"] = 1\n  a.__dict__.update(b=1)'},
    f"{A}:3: foreign: a.__dict__.update()",
  ),
  "an attribute that goes": (
    "foreign",
    {A: "def f(a):\n  del a.b"},
    f"{A}:2: foreign: a.b",
  ),
  "a variable of another module": (
    "foreign",
    {A: "from trainloop.model import b\nb.MOST = 1"},
    f"{A}:2: foreign: b.MOST",
  ),
  "a long file": ("lengths", {A: "\n" * 321}, f"{A}:1: lengths: file"),
  "a long function": ("lengths", {A: LONG}, f"{A}:1: lengths: f: 41"),
  "a long method": (
    "lengths",
    {A: "class X:\n" + LONG.replace("def", " def").replace("\n", "\n  ")},
    f"{A}:2: lengths: f: 41",
  ),
  "a wide class": (
    "members",
    {A: "class X:\n def f(self):\n" + WIDE},
    f"{A}:1: members: X: 17",
  ),
  "a wide carrier": (
    "members",
    {A: "class X:\n" + WIDE.replace("self.", "").replace(" =", ": int =")},
    f"{A}:1: members: X: 16",
  ),
  "a file that says nothing": ("docstrings", {A: "x = 1"}, f"{A}:1: docs"),
  "a script that says nothing": ("docstrings", {CLI: "x = 1"}, f"{CLI}:1:"),
  "a class that says nothing": (
    "docstrings",
    {A: '"""A file."""\nclass X:\n  pass'},
    f"{A}:2: docstrings: X",
  ),
  "a method that says nothing": (
    "docstrings",
    {A: '"""A file."""\nclass X:\n  """One."""\n  def f(self):\n    pass'},
    f"{A}:4: docstrings: f",
  ),
  "half a sentence": (
    "docstrings",
    {A: '"""A file."""\ndef f():\n  """Gives"""'},
    f"{A}:2: docstrings: f",
  ),
}

CLEAN = {
  "lower wings": (
    "order",
    {HIGH: "from trainloop.data import low\nimport numpy", LOW: EMPTY},
  ),
  "scripts import all": (
    "order",
    {COMMAND: "from trainloop.data import low\nfrom absl import app",
     LOW: EMPTY},
  ),
  "flags that ask a package later": (
    "order",
    {CLI: "def f():\n  from kernels import checks", "kernels/checks.py": EMPTY},
  ),
  "a way that ends": (
    "circles",
    {A: "from trainloop.model import b", B: "import numpy"},
  ),
  "own private names": (
    "private",
    {A: "class X:\n  def __init__(self, other):\n    self._a = other._a\n"
        "    self.b = other._replace(c=1)"},
  ),
  "own attributes": (
    "foreign",
    {A: "class X:\n  def f(self):\n    b = self.a = X()\n    b.a = 2\n"
        "def g(x: X):\n  x.a = 1\n  g.calls = 1\n  x.table[0] = 1"},
  ),
  "a function as long as may be": (
    "lengths",
    {A: LONG.replace("a40 = 40", "# reason\n\n").replace(
      "f():", 'f(\n  a,\n  b,\n):\n  """Gives.\n\n  More.\n  """')},
  ),
  "a class with much inside": (
    "members",
    {A: "class X:\n def f(self):\n" + WIDE.replace(".a", "._a")},
  ),
  "a method that its base describes": (
    "docstrings",
    {A: '"""A file."""\nclass X:\n  """One."""\n  def f(self):\n    """F."""\n'
        'class Y(X):\n  """Two."""\n  def f(self):\n    pass'},
  ),
  "private names say nothing": ("docstrings", {A: EMPTY + "\ndef _f(): pass"}),
}  # fmt: skip
