"""Damaged checkpoints: passed over or refused, never restored in silence."""

import json
import pathlib
import random
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from support import resumable, small, stored, workdirs
from trainloop.workdir.run_names import DATA, INDEX


def parts(workdir, suffix):
  folder = pathlib.Path(workdir, "checkpoints")
  return sorted(folder.glob(f"*{suffix}"))


def test_a_hundred_flipped_bits(tmp_path):
  """Each is noticed, or changes nothing of what is restored."""
  seed = random.randrange(10**6)
  dice = random.Random(seed)
  stored.save(tmp_path, 1, 2)
  older, newer = (
    stored.values(stored.variables(1)),
    stored.values(stored.variables(2)),
  )
  fallbacks = 0
  for _ in range(100):
    path = dice.choice([parts(tmp_path, DATA)[-1], parts(tmp_path, INDEX)[-1]])
    content = path.read_bytes()
    flipped = bytearray(content)
    flipped[dice.randrange(len(content))] ^= 1 << dice.randrange(8)
    path.write_bytes(flipped)
    told = []
    found = stored.restored(tmp_path, told.append)
    path.write_bytes(content)
    assert found in (older, newer), f"seed {seed}"
    assert bool(told) == (found == older), f"seed {seed}: {told}"
    fallbacks += found == older
  assert fallbacks >= 80, f"seed {seed}"
  assert stored.restored(tmp_path) == newer


def cut(share):
  def damage(path):
    content = path.read_bytes()
    end = len(content) - 1 if share == 1 else int(len(content) * share)
    path.write_bytes(content[:end])

  return damage


def garbage(path):
  path.write_bytes(np.random.default_rng(0).bytes(path.stat().st_size))


DAMAGE = {
  "data, nothing left": (DATA, cut(0)),
  "data, half": (DATA, cut(0.5)),
  "data, a byte short": (DATA, cut(1)),
  "data, gone": (DATA, pathlib.Path.unlink),
  "data, garbage": (DATA, garbage),
  "index, nothing left": (INDEX, cut(0)),
  "index, half": (INDEX, cut(0.5)),
  "index, a byte short": (INDEX, cut(1)),
  "index, gone": (INDEX, pathlib.Path.unlink),
  "index, garbage": (INDEX, garbage),
}


@pytest.mark.parametrize(
  ("suffix", "damage"), DAMAGE.values(), ids=list(DAMAGE)
)
def test_the_one_before_is_restored(tmp_path, suffix, damage):
  stored.save(tmp_path, 1, 2)
  damage(parts(tmp_path, suffix)[-1])
  told = []
  assert stored.restored(tmp_path, told.append) == stored.values(
    stored.variables(1)
  )
  gone = suffix == INDEX and damage is pathlib.Path.unlink
  assert len(told) == (not gone) and all("damaged" in line for line in told)
  # A save that follows is the newest, whatever its number was before.
  stored.save(tmp_path, 3)
  assert stored.restored(tmp_path, told.append) == stored.values(
    stored.variables(3)
  )


def test_a_run_goes_on_past_damage_byte_for_byte(tmp_path, capsys):
  whole = resumable.make(tmp_path / "whole")
  resumable.fit(whole)
  resumable.cut_off(tmp_path / "cut", 9)
  cut(0.5)(parts(tmp_path / "cut", DATA)[-1])
  loop = resumable.make(tmp_path / "cut")
  resumable.fit(loop)
  assert "warning: checkpoint skipped as damaged" in capsys.readouterr().out
  assert small.state_of(loop) == small.state_of(whole)
  assert workdirs.series(tmp_path / "cut") == workdirs.series(
    tmp_path / "whole"
  )


def test_nothing_starts_over_where_all_is_damaged(tmp_path):
  stored.save(tmp_path, 1, 2)
  for path in parts(tmp_path, INDEX):
    path.write_bytes(b"")
  before = workdirs.files(tmp_path)
  match = r"whose checkpoints can be read \(ckpt-2: .*; ckpt-1: .*\)"
  with pytest.raises(ValueError, match=match):
    stored.restored(tmp_path)
  assert workdirs.files(tmp_path) == before


def test_nor_where_all_are_gone(tmp_path):
  stored.save(tmp_path, 1, 2)
  for suffix in (DATA, INDEX):
    for path in parts(tmp_path, suffix):
      path.unlink()
  with pytest.raises(ValueError, match=r"can be read \(there are none"):
    stored.restored(tmp_path)


def test_leftovers_are_swept_and_other_files_stay(tmp_path):
  stored.save(tmp_path, 1, 2)
  folder = tmp_path / "checkpoints"
  (folder / f"part{DATA}").write_bytes(b"torn")
  (folder / f"part{INDEX}.tempstate123").write_bytes(b"torn")
  (folder / f"ckpt-3{DATA}").write_bytes(b"without its index")
  (folder / "checkpoint").write_text("garbage")  # TensorFlow's, not ours
  (folder / "ckpt-4_temp").mkdir()
  assert stored.restored(tmp_path) == stored.values(stored.variables(2))
  assert sorted(path.name for path in folder.iterdir()) == [
    "checkpoint",
    *(f"ckpt-{i}{suffix}" for i in (1, 2) for suffix in (DATA, INDEX)),
    "ckpt-4_temp",
  ]


@pytest.mark.parametrize("keep", [1, 2, 4])
def test_so_many_are_kept(tmp_path, keep):
  stored.save(tmp_path, *range(1, 7), keep=keep)
  want = [f"ckpt-{i}{INDEX}" for i in range(7 - keep, 7)]
  assert [path.name for path in parts(tmp_path, INDEX)] == want
  assert len(parts(tmp_path, DATA)) == keep


def rewrite(workdir, change):
  """Changes the log of the newest checkpoint, as another program could."""
  folder = pathlib.Path(workdir, "checkpoints")
  prefix = str(folder / "ckpt-2")
  reader = tf.train.load_checkpoint(prefix)
  found = {
    name: reader.get_tensor(name) for name in reader.get_variable_to_dtype_map()
  }
  change(found)
  tf.raw_ops.SaveV2(
    prefix=prefix,
    tensor_names=list(found),
    shape_and_slices=[""] * len(found),
    tensors=[tf.constant(value) for value in found.values()],
  )


def edit(name, **values):
  def change(found):
    log = {**json.loads(found[name]), **values}
    found[name] = json.dumps(log).encode()

  return change


def test_another_version_is_refused(tmp_path):
  stored.save(tmp_path, 1, 2)
  rewrite(tmp_path, edit("log", version=1))
  rule = "`checkpoint version` must be 5: .* another workdir .*; got 1"
  with pytest.raises(ValueError, match=rule):
    stored.restored(tmp_path)


def test_another_model_is_refused_and_named(tmp_path):
  stored.save(tmp_path, 1, 2)
  groups = stored.variables(0)
  groups["model"]["bias"] = tf.Variable(np.zeros(9, np.float32))
  match = r"`model` must be .* is bias float32 \(8,\) and not bias .*\(9,\)"
  with pytest.raises(ValueError, match=match):
    stored.store(tmp_path, groups)


def test_names_in_a_checkpoint_reach_no_file_outside(tmp_path):
  stored.save(tmp_path / "run", 1, 2)
  mine = tmp_path / "mine.txt"
  mine.write_text("mine")
  rewrite(tmp_path / "run", edit("written", events={"../mine.txt": [1, 2]}))
  opened, _ = stored.store(
    tmp_path / "run", stored.variables(0), tell=lambda text: None
  )
  opened.begin()
  opened.close()
  assert mine.read_text() == "mine"


def test_a_second_process_is_refused(tmp_path):
  stored.save(tmp_path, 1)
  first, _ = stored.store(tmp_path, stored.variables(0))
  code = (
    "import sys, fcntl, os\n"
    f"lock = os.open({str(tmp_path / '.lock')!r}, os.O_RDWR)\n"
    "fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)\n"
  )
  command = [sys.executable, "-c", code]
  assert subprocess.run(command, capture_output=True, check=False).returncode
  with pytest.raises(ValueError, match="a folder no other process trains in"):
    stored.store(tmp_path, stored.variables(0))
  first.close()
  subprocess.run(command, check=True)
