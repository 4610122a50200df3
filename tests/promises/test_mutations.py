"""Hundreds of damaged workdirs: refused in one line, or nothing is wrong."""

import random
import shutil

import numpy as np
import pytest

from kernels import checks
from support import reruns
from trainloop.model.rows import Layout
from trainloop.workdir.tensorboard import event_file

SHORT, LONG = 30, 700


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
  return reruns.Reruns(tmp_path_factory.mktemp("mutations"))


@pytest.fixture(scope="module")
def whole(runs):
  workdir = runs.new()
  history = runs.fit(workdir)
  return runs.outcome(workdir, history), history.rows


@pytest.fixture(scope="module")
def templates(runs, whole):
  """Runs that were cut off: with one checkpoint more and one less, and at the
  end."""
  done = runs.new()
  runs.fit(done)
  return [runs.cut(runs.new(), 4), runs.cut(runs.new(), 9), done]


def flip(content, dice, others):
  at = dice.randrange(len(content))
  return (
    content[:at]
    + bytes([content[at] ^ 1 << dice.randrange(8)])
    + (content[at + 1 :])
  )


def noise(content, dice, others):
  a, b = place(content, dice)
  return content[:a] + dice.randbytes(b - a) + content[b:]


def zeros(content, dice, others):
  a, b = place(content, dice)
  return content[:a] + bytes(b - a) + content[b:]


def truncate(content, dice, others):
  return content[: dice.randrange(len(content))]


def extend(content, dice, others):
  return content + dice.randbytes(dice.choice([1, 20, 4000]))


def insert(content, dice, others):
  a, _ = place(content, dice)
  return content[:a] + dice.randbytes(dice.choice([1, 20, 400])) + content[a:]


def swap(content, dice, others):
  size = max(1, len(content) // 4)
  a, b = dice.randrange(2) * size, dice.randrange(2, 4) * size
  parts = content[b : b + size], content[a + size : b], content[a : a + size]
  return content[:a] + b"".join(parts) + content[b + size :]


def double(content, dice, others):
  a, b = place(content, dice)
  return content[:b] + content[a:]


def leave_out(content, dice, others):
  a, b = place(content, dice)
  return content[:a] + content[b:]


def empty(content, dice, others):
  return b""


def remove(content, dice, others):
  return None


def other(content, dice, others):
  return dice.choice(others).read_bytes()


KINDS = (
  *(flip, noise, zeros, truncate, extend, insert, swap, double),
  *(leave_out, empty, remove, other),
)


def place(content, dice):
  """A stretch of the content, (begin, end)."""
  a = dice.randrange(len(content))
  return a, min(len(content), a + dice.choice([1, 4, 20, 100, 1000]))


def mutate(workdir, dice):
  """Damages one to three files of a run; returns what was done."""
  files = sorted(path for path in workdir.rglob("*") if path.is_file())
  files = [path for path in files if path.stat().st_size]
  done = []
  for path in dice.sample(files, dice.choice([1, 1, 1, 1, 2, 3])):
    kind = dice.choice(KINDS)
    content = path.read_bytes()
    new = kind(content, dice, files) if content else b""
    if new is None:
      path.unlink()
      files.remove(path)
    else:
      path.write_bytes(new)
    done.append(f"{kind.__name__} {path.relative_to(workdir)}")
  return done


def check(runs, whole, template, case):
  """One damaged run; says whether it was "refused", "mended" or "marked"."""
  dice = random.Random(case)
  workdir = runs.new(template)
  done = f"case {case}: {mutate(workdir, dice)}"
  try:
    history = runs.fit(workdir)
  except checks.ArgumentError as error:
    assert "\n" not in str(error), done
    return "refused"
  finally:
    assert not [p.name for p in workdir.rglob("*") if ".part" in p.name], done
  marked = any("NaN" in line for line in runs.told)
  want, rows = whole
  found = runs.outcome(workdir, history)
  for name in ("state", "epochs", "reason"):
    assert found[name] == want[name], (done, name, runs.told)
  unknown = np.isnan(history.rows["skipped"])
  assert marked == bool(unknown.any()), (done, runs.told)
  for name, values in history.rows.items():
    same = (values == rows[name]) | (np.isnan(values) & unknown)
    assert same.all(), (done, name, runs.told)
  for tag in event_file.tags(Layout()):
    steps, values = found["events"].get(("train", tag), ([], b""))
    assert steps == sorted(set(steps)), (done, tag, runs.told)
    name = tag.split("/")[-1]
    assert values == rows[name][steps].tobytes(), (done, tag, runs.told)
    assert unknown.any() or len(steps) == len(unknown), (done, tag)
  shutil.rmtree(workdir)
  return "marked" if marked else "mended"


def sweep(runs, whole, templates, cases):
  found = [
    check(runs, whole, templates[case % len(templates)], case) for case in cases
  ]
  return {name: found.count(name) for name in sorted(set(found))}


def test_some_damaged_runs(runs, whole, templates):
  found = sweep(runs, whole, templates, range(SHORT))
  assert found["mended"] > SHORT / 2, found


@pytest.mark.long
def test_hundreds_of_damaged_runs(runs, whole, templates):
  found = sweep(runs, whole, templates, range(SHORT, SHORT + LONG))
  assert found["mended"] > LONG / 2, found
  assert found["refused"] and found["marked"], found
