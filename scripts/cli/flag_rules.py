"""Flag parsing and rules that need no TensorFlow: one line, exit code 2."""

import math
import os
import re
import sys

from absl import app, flags

from cli import flag_habits
from cli.light import output

_INTEGER = r"must be an integer; got \1"
_DURATION = re.compile(r"\d+(\.\d+)?(ep|st|%)")
_INT32 = 2**31 - 1  # what TensorFlow takes as a size
DURATIONS = []  # names of the flags that are durations


def parse(argv):
  """Parses flags for `app.run(flags_parser=...)`.

  A bad flag or a stray argument ends the program with one line that names
  the flag, its value and the rule, and exit code 2. As the first that every
  script does, this also makes its standard streams lenient.
  """
  output.guard()
  if {"--help", "-help", "-h"} & set(argv):
    app.usage(shorthelp=True, writeto_stdout=True)
    sys.exit(0)
  try:
    flag_habits.refuse_swallowed(argv)
    rest = flags.FLAGS(argv)
    if len(rest) > 1:
      raise flags.Error(f"unexpected argument {rest[1]!r}: flags start with --")
  except flags.UnrecognizedFlagError as error:
    stop(flag_habits.meant(error))
  except flags.Error as error:
    text = " ".join(str(error).split()).removeprefix("ERROR:: ")
    stop(re.sub(r"invalid literal for int\(\).*: (.*)", _INTEGER, text))
  return rest


def stop(message, code=2):
  """Ends the program with one line on standard error."""
  output.line(f"error: {message}", error=True)
  sys.exit(code)


def check_output(name="output"):
  """Refuses a file to write, None for none, whose folder is not there."""
  path = flags.FLAGS[name].value
  folder = os.path.dirname(os.path.abspath(path or "file"))
  if path == "" or not os.path.isdir(folder):
    stop(f"--{name} must be a file in a folder that is there; got {path!r}")


def integer(name, default, text, minimum, maximum=_INT32):
  """Defines an integer flag in [minimum, maximum]."""
  flags.DEFINE_integer(
    name, default, text, lower_bound=minimum, upper_bound=maximum
  )


def auto_or_integer(name, text):
  """Defines a flag that is "auto", its default, or an integer >= 1."""
  flags.DEFINE_string(name, "auto", text)

  def accept(value):
    if value == "auto" or (value.isdecimal() and int(value) >= 1):
      return True
    rule = "auto or an integer >= 1"
    raise flags.ValidationError(f"must be {rule}; got {value!r}")

  flags.register_validator(name, accept)


def read_auto(value):
  """What such a flag means: "auto" or an int."""
  return value if value == "auto" else int(value)


def number(name, default, text, low=0.0, high=math.inf, open_low=False):
  """Defines a finite float flag in [low, high], or (low, high]."""
  flags.DEFINE_float(name, default, text)
  left = "> " if open_low else ">= "
  rule = f"a finite number {left}{low:g}"
  if high < math.inf:
    rule += f" and <= {high:g}"

  def accept(value):
    if value is None:
      return True
    above = value > low if open_low else value >= low
    if math.isfinite(value) and above and value <= high:
      return True
    raise flags.ValidationError(f"must be {rule}; got {value!r}")

  flags.register_validator(name, accept)


def duration(name, default, text):
  """Defines a duration flag: "3ep", "500st" or "10%"."""
  flags.DEFINE_string(name, default, f"{text} [3ep, 500st or 10%]")
  DURATIONS.append(name)

  def accept(value):
    if value is None or _DURATION.fullmatch(value):
      return True
    rule = "a duration such as 3ep, 500st or 10%"
    raise flags.ValidationError(f"must be {rule}; got {value!r}")

  flags.register_validator(name, accept)


def steps_range(name, text):
  """Defines a flag for a range of steps, "100:120", unset by default."""
  flags.DEFINE_string(name, None, text)

  def accept(value):
    if value is None:
      return True
    match = re.fullmatch(r"(\d+):(\d+)", value)
    if match and int(match[1]) < int(match[2]):
      return True
    rule = "two steps such as 100:120, the first one less"
    raise flags.ValidationError(f"must be {rule}; got {value!r}")

  flags.register_validator(name, accept)


def durations(name, default, text):
  """Defines a flag of durations separated by commas; `split` reads it."""
  DURATIONS.append(name)
  rule = "durations such as 3ep, 500st or 10%, separated by commas"
  _listed(name, default, text, _DURATION.fullmatch, rule)


def names(name, default, text, choices):
  """Defines a flag of some names, separated by commas; `split` reads it."""
  rule = f"names separated by commas, out of {', '.join(choices)}"
  _listed(name, default, text, choices.__contains__, rule)


def _listed(name, default, text, accept, rule):
  flags.DEFINE_string(name, default, text)

  def check(value):
    if all(map(accept, split(value))):
      return True
    raise flags.ValidationError(f"must be {rule}; got {value!r}")

  flags.register_validator(name, check)


def split(value):
  """The parts of a comma-separated flag; [] if it is empty."""
  return value.split(",") if value else []


def numbers(name, default, text, count=None, kind=float, accept=None, rule=""):
  """Defines a comma-separated list flag; `read_numbers` reads it."""
  flags.DEFINE_string(name, default, text)

  def check(value):
    if not value:
      return True
    try:
      parsed = [kind(part) for part in value.split(",")]
      if kind is int:
        good = all(abs(one) <= _INT32 for one in parsed)
      else:
        good = all(map(math.isfinite, parsed))
      good = good and all(map(accept, parsed))
    except (ValueError, OverflowError):
      good, parsed = False, []
    if good and count in (None, len(parsed)):
      return True
    raise flags.ValidationError(f"must be {rule}; got {value!r}")

  flags.register_validator(name, check)


def read_numbers(value, kind=float):
  """The numbers in a comma-separated flag; [] if it is empty."""
  return [kind(part) for part in value.split(",")] if value else []


def show_in_help():
  """Makes --help list every flag, whichever module defined it."""
  for module, group in flags.FLAGS.flags_by_module_dict().items():
    if not module.startswith("absl"):
      for flag in group:
        flags.FLAGS.register_key_flag_for_module(sys.argv[0], flag)


def values(left_out=()):
  """{"flags/name": value} of the script's flags that have one, without some;
  they must be those of `show_in_help`."""
  present = {
    f"flags/{flag.name}": flag.value
    for flag in flags.FLAGS.get_key_flags_for_module(sys.argv[0])
    if flag.name not in left_out and flag.value not in (None, "")
  }
  return {
    name: ",".join(value) if isinstance(value, list) else value
    for name, value in present.items()
  }


def value(name):
  """The value of a flag; None where the script does not define it."""
  return flags.FLAGS[name].value if name in flags.FLAGS else None


def refuse_unused(choice, uses):
  """Refuses flags that were given but that the choice made ignores.

  Args:
    choice: name of the deciding flag.
    uses: {value of that flag: names of the flags it reads}.
  """
  value = flags.FLAGS[choice].value
  every = {name for names in uses.values() for name in names}
  for name in sorted(every - set(uses.get(value, ()))):
    if flags.FLAGS[name].present:
      stop(f"--{name} has no effect with --{choice}={value}")
