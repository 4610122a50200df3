"""All published experiments by name."""

import experiments_imdb
import experiments_ionosphere
import experiments_mnist

EXPERIMENTS = {
  **experiments_imdb.EXPERIMENTS,
  **experiments_ionosphere.EXPERIMENTS,
  **experiments_mnist.EXPERIMENTS,
}
