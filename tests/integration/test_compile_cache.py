"""Programs of one process serve the next: no bit of a run depends on it."""

import json
import time

from support import commands, workdirs

FLAGS = ("--epochs=300", "--verbosity=-1", "--checkpoint_every=1ep")


def outcome(workdir):
  result = json.loads((workdir / "result.json").read_text())
  rows = (workdir / "rows.f32").read_bytes()
  return result["weights_sha256"], rows, workdirs.series(workdir)


def wait(process, happened):
  while not happened():
    assert process.poll() is None
    time.sleep(0.02)


def test_a_killed_run_that_goes_on_compiles_nothing(tmp_path, monkeypatch):
  dumps, cache, run = (tmp_path / name for name in ("dumps", "cache", "run"))
  flags = f"--xla_dump_to={dumps} --xla_dump_hlo_as_text"
  monkeypatch.setenv("XLA_FLAGS", flags)

  def programs():
    return list(dumps.glob("*before_optimizations.txt"))

  warm = (*FLAGS, f"--compile_cache={cache}", f"--workdir={run}")
  with commands.start(*warm, cwd=tmp_path) as process:
    # Programs may come before the first save.
    wait(process, lambda: len(list(cache.glob("*/*.pb.*"))) == 2)
    # One of an epoch's end, behind its validation: all programs have run, so
    # that none is half in its file. The first one is there from the start.
    wait(process, lambda: len(list((run / "checkpoints").glob("*.index"))) > 1)
    wait(process, lambda: (run / "rows.f32").stat().st_size)
    process.kill()
  assert len(programs()) >= 2
  for path in dumps.iterdir():
    path.unlink()  # another process gives its files the same names
  stored = sorted(cache.glob("*/*"))

  again = commands.train(*warm, cwd=tmp_path)
  assert again.returncode == 0, again.stderr[-2000:]
  assert json.loads((run / "result.json").read_text())["resumed_from"]
  assert programs() == [] and sorted(cache.glob("*/*")) == stored

  whole = (*FLAGS, "--compile_cache=none", "--workdir=whole")
  done = commands.train(*whole, cwd=tmp_path)
  assert done.returncode == 0, done.stderr[-2000:]
  assert len(programs()) >= 2
  assert outcome(run) == outcome(tmp_path / "whole")
