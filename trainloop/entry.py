"""What stands around each call that a user makes."""

from kernels import callables
from trainloop import custom_gradients, data_errors, peers


def guarded(method):
  """A function for users, which may run their code or wait for workers.

  Raises:
    What their code raised, without this project's frames; a lost worker's
    `PeerError` in place of what it caused.
  """
  method = custom_gradients.released()(peers.guarded(method))
  return callables.public(data_errors.translated(method))
