"""Runs a notebook without Jupyter: all code cells, in one namespace.

  PYTHONPATH=.:tests python tests/support/notebooks.py PATH

runs one and writes what its cells show into it. The numbers of cells and of
what they show are those that Jupyter gives; there is no kernel, so magic
commands are none here.
"""

import ast
import base64
import contextlib
import io
import json
import pathlib
import pprint
import sys


class Stream(io.StringIO):
  """Is to `output` what Jupyter's standard output is: no terminal, but live."""

  __module__ = "ipykernel.iostream"


def read(path):
  """The notebook in a file."""
  return json.loads(pathlib.Path(path).read_text(encoding="utf-8"))


def code(notebook):
  """Its code cells, in order."""
  return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def run(notebook):
  """Runs the code cells.

  Args:
    notebook: what `read` gave.

  Returns:
    (a list with each one's outputs, the namespace that is left).
  """
  namespace = {"__name__": "__main__"}
  sources = ["".join(cell["source"]) for cell in code(notebook)]
  outputs = [_run(i, text, namespace) for i, text in enumerate(sources, 1)]
  return outputs, namespace


def _run(number, source, namespace):
  """The outputs of a cell: what it prints, and its last expression."""
  body, last = ast.parse(source).body, None
  if isinstance(body[-1], ast.Expr):
    last = ast.Expression(body.pop().value)
  name, value = f"cell {number}", None
  with contextlib.redirect_stdout(Stream()) as stream:
    exec(compile(ast.Module(body, []), name, "exec"), namespace)
    if last is not None:
      value = eval(compile(last, name, "eval"), namespace)
  outputs = []
  if text := seen(stream.getvalue()):
    outputs.append(
      {"name": "stdout", "output_type": "stream", "text": _lines(text)}
    )
  if value is not None:
    outputs.append(_result(number, value))
  return outputs


def _result(number, value):
  """What Jupyter shows of a value: a picture if it has one, and its text."""
  data = {}
  picture = getattr(value, "_repr_png_", lambda: None)()
  if picture is not None:
    data["image/png"] = base64.b64encode(picture).decode()
  data["text/plain"] = _lines(pprint.pformat(value, sort_dicts=False))
  return {
    "data": data,
    "execution_count": number,
    "metadata": {},
    "output_type": "execute_result",
  }


def seen(text):
  r"""A text as a terminal shows it: what comes behind \r is written over."""
  shown = []
  for line in text.split("\n"):
    screen = ""
    for part in line.split("\r"):
      screen = part + screen[len(part) :]
    shown.append(screen.rstrip())
  return "\n".join(shown)


def text_of(outputs):
  """All text of some outputs."""
  return "".join(
    "".join(one.get("text") or one["data"]["text/plain"]) for one in outputs
  )


def pictures_of(outputs):
  """The pictures of some outputs: PNG, bytes."""
  texts = [one.get("data", {}).get("image/png") for one in outputs]
  return [base64.b64decode(text) for text in texts if text]


def _lines(text):
  return text.splitlines(keepends=True)


def main(path):
  """Runs the notebook in a file and writes what it shows into it."""
  notebook = read(path)
  outputs, _ = run(notebook)
  cells = code(notebook)
  for number, (cell, shown) in enumerate(zip(cells, outputs, strict=True), 1):
    cell.update(execution_count=number, outputs=shown)
  text = json.dumps(notebook, indent=1, ensure_ascii=False)
  pathlib.Path(path).write_text(f"{text}\n", encoding="utf-8")


if __name__ == "__main__":
  main(sys.argv[1])
