"""What stands around each call that a user makes."""

from kernels import callables
from trainloop.base import custom_gradients, user_errors
from trainloop.devices import peers


def guarded(method):
  """A function for users, which may run their code or wait for workers.

  Raises:
    What their code raised, without this project's frames; a lost worker's
    `PeerError` in place of what it caused.
  """
  method = custom_gradients.released()(peers.guarded(method))
  return callables.public(user_errors.translated(method))
