"""What can't be shown is lost, told once, and ends nothing."""

import ast
import contextlib
import io
import json
import pathlib
import subprocess
import sys

import pytest

from support import small
from trainloop.base import output

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
LIGHT = f"import sys; sys.path.insert(0, {str(ROOT / 'scripts')!r})\n"


class Refusing:
  """A stream whose every write fails; it has no other method."""

  def __init__(self, error):
    self.error = error

  def write(self, text):
    raise self.error


class Bare:
  """A stream with nothing but `write`, as a notebook's may be."""

  def __init__(self):
    self.text = ""

  def write(self, text):
    self.text += text


def closed():
  stream = io.StringIO()
  stream.close()
  return stream


BAD = {
  "none": lambda: None,
  "closed": closed,
  "full": lambda: open("/dev/full", "w"),  # noqa: SIM115
  "pipe": lambda: Refusing(BrokenPipeError(32, "Broken pipe")),
  "gone": lambda: Refusing(OSError(5, "Input/output error")),
  "other": lambda: Refusing(RuntimeError("the kernel died")),
}


@pytest.fixture(autouse=True)
def _nothing_lost_yet(monkeypatch):
  monkeypatch.setattr(output, "_lost", set())


@pytest.fixture(scope="module")
def loops():
  """One that shows all, and its twin that shows nothing."""
  return small.loop(verbose=2), small.loop()


@pytest.mark.parametrize("name", BAD)
def test_a_fit_ends_the_same_whatever_its_stream(monkeypatch, loops, name):
  monkeypatch.setattr(sys, "stdout", BAD[name]())
  monkeypatch.setattr(sys, "stderr", told := io.StringIO())
  for loop in loops:
    history = loop.fit(small.data(), 1, validation=small.data())
    assert history.stop_reason == "completed"
  assert small.state_of(loops[0]) == small.state_of(loops[1])
  lines = told.getvalue().splitlines()
  assert len(lines) == (name != "none")
  assert all("standard output can't be written" in line for line in lines)


def test_the_stream_is_that_of_the_time(monkeypatch, loops):
  loop = loops[0]
  monkeypatch.setattr(sys, "stdout", stream := Bare())
  loop.fit(small.data(), 1)
  assert "completed after" in stream.text


class Kernel(io.StringIO):
  """As what Jupyter's kernel puts in the place of standard output."""

  __module__ = "ipykernel.iostream"


class Colab(Kernel):
  """A kernel of somebody's own, made of that one."""


class Terminal(io.StringIO):
  def isatty(self):
    return True


@pytest.mark.parametrize("kind", [Kernel, Colab, Terminal])
def test_a_line_is_live_in_a_terminal_and_in_a_notebook(monkeypatch, kind):
  assert output.is_live(kind())
  assert output.is_live(output.Lenient(kind(), "stdout"))
  monkeypatch.setattr(sys, "stdout", kind())
  assert output.is_live()
  with contextlib.redirect_stdout(io.StringIO()):  # and with %%capture
    assert not output.is_live()


@pytest.mark.parametrize("name", BAD)
def test_no_line_is_live_anywhere_else(monkeypatch, name):
  monkeypatch.setattr(sys, "stdout", BAD[name]())
  assert not output.is_live()


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp437"])
def test_what_an_encoding_lacks_is_spelled_out(monkeypatch, encoding):
  under = io.BytesIO()
  stream = io.TextIOWrapper(under, encoding=encoding)
  monkeypatch.setattr(sys, "stdout", stream)
  output.line("loss 0.5 \u2192 \u03bb\U0001f600")
  assert under.getvalue() == b"loss 0.5 \\u2192 \\u03bb\\U0001f600\n" or (
    encoding == "cp437" and b"\\u2192" in under.getvalue()
  )


def run(code, **options):
  """(exit code, standard output, standard error) of a script of this code."""
  done = subprocess.run(
    [sys.executable, "-c", LIGHT + code], text=True, check=False, **options
  )
  return done.returncode, done.stdout, done.stderr


def full():
  return open("/dev/full", "w")


def broken():
  """The end of a pipe that nobody reads."""
  process = subprocess.Popen(
    [sys.executable, "-c", ""], stdin=subprocess.PIPE, text=True
  )
  process.wait()
  return process.stdin


SAYS = "from cli.light import output\nfor i in range(3000): output.line(i)\n"
PRINTS = (
  "from cli.light import output\noutput.guard()\nprint('x' * 9000)\nprint(1)"
)


@pytest.mark.parametrize("stream", [full, broken])
@pytest.mark.parametrize("code", [SAYS, PRINTS])
def test_the_exit_code_is_that_of_the_run(stream, code):
  with stream() as lost:
    ended, _, told = run(code, stdout=lost, stderr=subprocess.PIPE)
  assert ended == 0
  (line,) = told.splitlines()
  assert line.startswith("warning: standard output can't be written (")
  with stream() as lost:
    ended, said, _ = run(
      f"{code}\noutput.line('no', error=True)\nsys.exit(7)",
      stdout=subprocess.PIPE,
      stderr=lost,
    )
  assert ended == 7
  assert said.count("standard error can't be written") == 1


def test_nothing_is_written_where_a_standard_stream_was_closed(tmp_path):
  """The next file must not get the number that C++ writes messages to."""
  path = tmp_path / "rows"
  code = (
    "import os\nfrom cli.light import output\noutput.guard()\n"
    f"open({str(path)!r}, 'w').write('rows')\n"
    f"rows = os.open({str(path)!r}, os.O_RDWR)\n"
    "os.write(1, b'chatter'); os.write(2, b'chatter')\n"
    "print('lost'); output.line('lost'); output.line('lost', error=True)\n"
    "sys.exit(0 if rows > 2 else 9)"
  )
  script = tmp_path / "script.py"
  script.write_text(LIGHT + code)
  done = subprocess.run(
    ["bash", "-c", f"{sys.executable} {script} <&- >&- 2>&-"], check=False
  )
  assert done.returncode == 0
  assert path.read_text() == "rows"


def shown_by(tree):
  """What a file writes with beside `output`, and JSON beside its writer."""
  streams = [f"sys.{name}" for name in ("stdout", "stderr")]
  streams += [f"sys.__{name}__" for name in ("stdout", "stderr")]
  bare = {"print", *streams, "warnings.warn", "json.dump", "json.dumps"}
  for node in ast.walk(tree):
    if isinstance(node, (ast.Name, ast.Attribute)):
      name = ast.unparse(node)
      if name in bare:
        yield name


@pytest.mark.parametrize("folder", ["kernels", "trainloop", "scripts"])
def test_all_that_is_shown_goes_out_through_one_module(folder):
  own = {
    "output.py": "sys.",
    "strict_json.py": "json.",
    "hashed_runs.py": "print",  # it trains with another checkout's packages
  }
  for path in sorted((ROOT / folder).rglob("*.py")):
    mine = own.get(path.name, "none")
    for name in shown_by(ast.parse(path.read_text())):
      assert name.startswith(mine), f"{path} uses {name}"


def test_json_is_strict():
  from trainloop.base import strict_json

  value = {"a": [1.5, float("nan")], "b": {"c": -float("inf")}}
  text = strict_json.dumps(value)
  assert text == '{"a": [1.5, "NaN"], "b": {"c": "-Infinity"}}'
  assert strict_json.number("-Infinity") == -float("inf")
  found = json.loads(strict_json.report(value))
  assert found["a"] == [1.5, None] and found["b"] == {"c": None}
  assert found["not_finite"] == {"a.1": "NaN", "b.c": "-Infinity"}
