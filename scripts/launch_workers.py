"""Runs N worker processes of one command on this machine.

  python scripts/launch_workers.py --workers=2 -- python scripts/train.py \
      --strategy=multi_worker --workdir=runs/two

Each gets a TF_CONFIG with free ports of this machine, and its lines a prefix.
The first one that fails ends the others; SIGINT, SIGTERM and SIGHUP are passed
on; the exit code is the worst of those that ended by themselves.
"""

from cli import interrupts

if __name__ == "__main__":
  interrupts.install()  # before what takes time to import

# isort: split
import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time

from absl import app, flags

from cli import flag_rules
from cli.light import output, strict_json

FLAGS = flags.FLAGS


def define_flags():
  """Defines all flags of the script."""
  flag_rules.integer("workers", 2, "processes to run [processes]", 1)
  flag_rules.number(
    "patience", 10.0, "time from the first failure until the rest is ended [s]"
  )
  flag_rules.show_in_help()


def addresses(count):
  """That many "127.0.0.1:port" of ports that are free now."""
  with contextlib.ExitStack() as stack:
    sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
    for one in sockets:
      one.bind(("127.0.0.1", 0))
    return [f"127.0.0.1:{one.getsockname()[1]}" for one in sockets]


def start(command, index, workers):
  """Starts one worker in a session of its own: signals come from here."""
  task = {"type": "worker", "index": index}
  config = strict_json.dumps({"cluster": {"worker": workers}, "task": task})
  return subprocess.Popen(
    command,
    env={**os.environ, "TF_CONFIG": config, "PYTHONUNBUFFERED": "1"},
    stdin=subprocess.DEVNULL,
    stdout=subprocess.PIPE,
    stderr=subprocess.STDOUT,
    start_new_session=True,
    text=True,
    errors="replace",
  )


def show(index, stream):
  """Prints a worker's lines, each with its number in front."""
  for line in stream:
    output.write(f"[{index}] {line}")


def send(processes, number):
  """Sends a signal to those that still run."""
  for process in processes:
    if process.poll() is None:
      with contextlib.suppress(ProcessLookupError):
        process.send_signal(number)


def wait(processes, patience):
  """Waits for all; the first failure ends the rest, politely at first.

  Args:
    processes: what `start` gave.
    patience: seconds that the others have to end by themselves, and then
      again to end after SIGTERM.

  Returns:
    The worst exit code of those that ended by themselves; 128 + n for a death
    by signal n.
  """
  steps = [signal.SIGTERM, signal.SIGKILL]
  failed, stopped = None, []
  while None in [process.poll() for process in processes]:
    time.sleep(0.1)
    if failed is None and any(process.returncode for process in processes):
      failed = time.monotonic()
    if failed is not None and steps and time.monotonic() - failed > patience:
      stopped = stopped or [p for p in processes if p.poll() is None]
      send(processes, steps.pop(0))
      failed = time.monotonic()
  codes = [p.returncode for p in processes if p not in stopped]
  return max(128 - code if code < 0 else code for code in codes)


class Group:
  """The workers, and the signals that are passed on to each of them once.

  Attributes:
    processes: of the workers that were started.
    signals: numbers of those that came.
  """

  def __init__(self):
    self.processes, self.signals = [], []
    self._sent = []  # how many of the signals each worker has

  def forward(self, number, frame=None):
    """Passes a signal on; a handler."""
    del frame
    self.signals.append(number)
    self._pass_on()

  def add(self, process):
    """Takes in a worker, which gets what came while it was started."""
    self._sent.append(0)
    self.processes.append(process)
    self._pass_on()

  def _pass_on(self):
    for index, process in enumerate(self.processes):
      while self._sent[index] < len(self.signals):
        self._sent[index] += 1  # first: another signal may come here
        send([process], self.signals[self._sent[index] - 1])


def main(command):
  workers, group, threads = addresses(FLAGS.workers), Group(), []
  interrupts.handle(group.forward)
  try:
    for index in range(FLAGS.workers):
      if group.signals:
        break
      process = start(command, index, workers)
      group.add(process)
      arguments = (index, process.stdout)
      threads.append(threading.Thread(target=show, args=arguments))
      threads[-1].start()
  except OSError as error:
    send(group.processes, signal.SIGKILL)
    flag_rules.stop(f"{command[0]} can't be started ({error.strerror})")
  if not group.processes:
    sys.exit(128 + group.signals[0])
  code = wait(group.processes, FLAGS.patience)
  for thread in threads:
    thread.join(1.0)  # a grandchild may still hold the pipe
  sys.exit(code)


def run():
  """Parses the flags before `--` and runs what stands behind it."""
  before, command = split(sys.argv)
  if not command and not {"--help", "-h"} & set(before):
    flag_rules.stop("a command to run must stand behind --")
  app.run(
    lambda argv: main(command), argv=before, flags_parser=flag_rules.parse
  )


def split(argv):
  """(arguments before `--`, those after it)."""
  at = argv.index("--") if "--" in argv else len(argv)
  return argv[:at], argv[at + 1 :]


if __name__ == "__main__":
  define_flags()
  run()
