"""The packages' modules for scripts whose flags are checked before TensorFlow.

`import trainloop` takes seconds, and flags are checked and errors shown before:
modules that need no TensorFlow come without their package, and a `Deferred`
module is imported where it is first used.
"""

import importlib
import importlib.util
import os
import sys
import types


def _load(name):
  """The module `trainloop.name`; the package finds it there later."""
  full = f"trainloop.{name}"
  if full in sys.modules:
    return sys.modules[full]
  package = importlib.util.find_spec("trainloop")  # looks, and runs nothing
  if package is None:
    sys.exit("error: trainloop is not installed: pip install -e CHECKOUT")
  path = os.path.join(package.submodule_search_locations[0], *name.split("."))
  spec = importlib.util.spec_from_file_location(full, f"{path}.py")
  module = sys.modules[full] = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module


class Deferred(types.ModuleType):
  """A module that is imported where something in it is first used.

  Args:
    name: the module's, as an import statement has it.
  """

  def __getattr__(self, name):
    return getattr(importlib.import_module(self.__name__), name)


compile_cache = _load("base.compile_cache")
output = _load("base.output")
strict_json = _load("base.strict_json")
