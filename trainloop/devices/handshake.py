"""What a worker and the chief say to each other before they trust each other.

The worker says hello, the chief answers with a number that it has just made
up, and each shows an HMAC over both sides' numbers: nothing that was heard
before is of use to a stranger, and the secret is never sent. Without a secret
the key is empty: whoever speaks the protocol is let in.
"""

import hashlib
import hmac
import secrets
import string

from trainloop.base import strict_json

_HELLO = "trainloop workers 2"


def hello(cluster):
  """A worker's first message, a dict."""
  return {
    "hello": _HELLO,
    "index": cluster.index,
    "nonce": nonce(),
    "workers": digest(cluster),
  }


def is_hello(message):
  """Whether a message is one, each part of its own type."""
  parts = {"hello": str, "index": int, "nonce": str, "workers": str}
  if set(message) != set(parts) or message["hello"] != _HELLO:
    return False
  if any(type(message[name]) is not kind for name, kind in parts.items()):
    return False
  texts = message["nonce"] + message["workers"]
  return len(texts) == 96 and set(texts) <= set(string.hexdigits)


def digest(cluster):
  """All addresses in a few bytes, so that a hello is short."""
  return hashlib.sha256(strict_json.dumps(cluster.workers).encode()).hexdigest()


def nonce():
  """A number that is used once, as text."""
  return secrets.token_hex(16)


def proof(role, secret, hello, challenge):
  """What one side sends to show that it has the secret.

  Args:
    role: "worker" or "chief", whose proof it is.
    secret: bytes that both have.
    hello: the dict that the worker sent first, its nonce in it.
    challenge: the chief's nonce.

  Returns:
    HMAC-SHA256 over all of them, as hexadecimal text.
  """
  said = [role, challenge, *(f"{k}={hello[k]}" for k in sorted(hello))]
  return hmac.new(secret, "\n".join(said).encode(), hashlib.sha256).hexdigest()


def holds(answer, role, secret, hello, challenge):
  """Whether `answer`, whatever it is, is that proof; in constant time."""
  if not isinstance(answer, str):
    return False
  want = proof(role, secret, hello, challenge)
  return hmac.compare_digest(answer.encode(errors="replace"), want.encode())
