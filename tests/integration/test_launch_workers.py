"""launch_workers.py: ports, prefixes, failures, signals, exit codes."""

import json
import os
import signal
import subprocess
import sys

import pytest

import launch_workers
from support import commands


def run(code, *flags):
  return subprocess.run(
    commands.workers(code, *flags),
    capture_output=True,
    text=True,
    timeout=60,
    check=False,
  )


def test_each_has_its_tf_config_and_its_prefix():
  done = run("print(os.environ['TF_CONFIG'])", "--workers=3")
  assert done.returncode == 0
  found = {}
  for line in done.stdout.splitlines():
    prefix, _, text = line.partition(" ")
    found[prefix] = json.loads(text)
  assert sorted(found) == ["[0]", "[1]", "[2]"]
  clusters = [one["cluster"]["worker"] for one in found.values()]
  assert len(set(clusters[0])) == 3
  assert clusters[0] == clusters[1] == clusters[2]
  assert [found[f"[{i}]"]["task"]["index"] for i in range(3)] == [0, 1, 2]


def test_the_first_failure_ends_all_and_its_code_is_given():
  code = "sys.exit(3) if task == 1 else time.sleep(600)"
  done = run(code, "--workers=3", "--patience=0.2")
  assert done.returncode == 3


@pytest.mark.parametrize("codes", [(0, 0), (2, 0), (0, 7), (5, 7)])
def test_exit_codes(codes):
  assert run(f"sys.exit({codes}[task])").returncode == max(codes)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_are_passed_on_once(number):
  code = (
    "import signal\n"
    "got = []\n"
    f"signal.signal({int(number)}, lambda n, f: got.append(n))\n"
    "print('up', flush=True)\n"
    "while not got: time.sleep(0.02)\n"
    "time.sleep(0.3)\n"
    "sys.exit(40 + len(got))\n"
  )
  process = subprocess.Popen(
    commands.workers(code),
    stdout=subprocess.PIPE,
    text=True,
    start_new_session=True,
  )
  for _ in range(2):
    assert process.stdout.readline().endswith("up\n")
  os.kill(process.pid, number)
  process.communicate(timeout=60)
  assert process.returncode == 41


def test_one_that_ignores_sigterm_is_killed():
  code = (
    "import signal\n"
    "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    "sys.exit(1) if task else time.sleep(600)\n"
  )
  done = run(code, "--patience=0.5")
  # That of the one that failed by itself; it returns, so the other is dead.
  assert done.returncode == 1


@pytest.mark.parametrize("arguments", [[], ["--"], ["--workers=2", "--"]])
def test_a_command_is_needed(arguments):
  done = subprocess.run(
    [sys.executable, commands.LAUNCH, *arguments],
    capture_output=True,
    text=True,
    check=False,
  )
  assert done.returncode == 2
  assert done.stderr == "error: a command to run must stand behind --\n"


def test_a_command_that_is_not_there():
  done = subprocess.run(
    [sys.executable, commands.LAUNCH, "--", "/no/such/program"],
    capture_output=True,
    text=True,
    check=False,
  )
  assert done.returncode == 2
  assert "can't be started" in done.stderr


def test_ports_are_free_and_differ():
  found = launch_workers.addresses(8)
  assert len(set(found)) == 8


class Recorder:
  """Stands in for a worker's process: which signals it got."""

  def __init__(self):
    self.got = []

  def poll(self):
    return None

  def send_signal(self, number):
    self.got.append(number)


def test_a_worker_that_starts_after_a_signal_gets_it_once():
  group, workers = launch_workers.Group(), [Recorder() for _ in range(3)]
  group.add(workers[0])
  group.forward(signal.SIGTERM)
  group.add(workers[1])
  group.forward(signal.SIGHUP)
  group.add(workers[2])
  every = [signal.SIGTERM, signal.SIGHUP]
  assert [worker.got for worker in workers] == [every] * 3
