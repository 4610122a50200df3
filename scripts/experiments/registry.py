"""All published experiments by name."""

from experiments import imdb, ionosphere, mnist

EXPERIMENTS = {
  **imdb.EXPERIMENTS,
  **ionosphere.EXPERIMENTS,
  **mnist.EXPERIMENTS,
}
