"""The Gaussian Parzen window of Goodfellow et al. (2014), and what real images and k-means centroids score under it.

The protocol is that of the authors' code: pixels in [0, 1], σ by the mean log-likelihood of the first 1,000 images of the validation set
among ten from 0.1 to 1, then the log-likelihood in nats of every test image. Images are (N, d) float32, one row for each.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import math
from dataclasses import dataclass

import torch
from torch import Tensor

from gander import rng, weights
from gander.data import Data
from gander.errors import RunError
from gander.judge import cache

VERSION = 2
CENTRES = 10_000
VALIDATION = 1_000
SIGMAS = tuple(torch.logspace(-1, 0, 10, dtype=torch.float64).tolist())
IN_ORDER = (
    "mnist",
    "fashion-mnist",
)  # whose last sixth is what was published as the validation set
ROWS = 500  # images compared with all centres at once
PER_CENTROID = 5  # images, as 50,000 have for 10,000 centroids
ITERATIONS = 3
DIRECTIONS, SAMPLE = 64, 2_000
"""Principal components in which images are compared while centroids are sought, and the images they are found from."""


@dataclass(frozen=True)
class Likelihood:
    """Of all test images, in nats: the mean and its standard error; the σ that validation chose, and the mean of validation under it."""

    mean: float
    error: float
    sigma: float
    validation: float

    @property
    def at_edge(self) -> bool:
        """Whether σ is the least or the most that was tried, so that a better one may lie beyond."""
        return self.sigma in (SIGMAS[0], SIGMAS[-1])


def likelihood(centres: Tensor, validation: Tensor, test: Tensor) -> Likelihood:
    """Of ``test`` (N, d) under Gaussians around ``centres`` (M, d), their σ chosen on ``validation`` (V, d)."""
    means = log_likelihood(validation, centres, SIGMAS).mean(1)
    best = int(means.argmax())
    sigma = SIGMAS[best]
    nats = log_likelihood(test, centres, (sigma,))[0]
    error = float(nats.std(unbiased=False)) / math.sqrt(len(nats))
    return Likelihood(float(nats.mean()), error, sigma, float(means[best]))


def log_likelihood(images: Tensor, centres: Tensor, sigmas: tuple[float, ...]) -> Tensor:
    """log of the mean over (M, d) centres of N(image; centre, σ²) for (N, d) images: (S, N) float64."""
    parts = []
    for rows in torch.split(images, ROWS):
        distance = squared(rows, centres)
        least = distance.amin(1, keepdim=True)
        distance -= least  # so that the largest term of each sum is 1
        for sigma in sigmas:
            near = (distance / (-2 * sigma**2)).exp_().sum(1, dtype=torch.float64).log()
            parts.append(near - least[:, 0].double() / (2 * sigma**2))
    grid = torch.stack([torch.cat(parts[k :: len(sigmas)]) for k in range(len(sigmas))])
    spread = torch.tensor(sigmas, dtype=torch.float64).unsqueeze(1) * math.sqrt(2 * math.pi)
    return grid - math.log(len(centres)) - images.shape[1] * spread.log()


def squared(images: Tensor, centres: Tensor) -> Tensor:
    """Squared distances of (N, d) from (M, d), (N, M): one matrix product."""
    product = torch.addmm(centres.square().sum(1), images, centres.T, alpha=-2)
    return product.add_(images.square().sum(1, keepdim=True)).clamp_(min=0)


def flat(images: Tensor) -> Tensor:
    """Images (N, C, H, W) uint8 as rows of pixels in [0, 1], (N, d) float32."""
    return images.flatten(1).float() / 255


# ---------------------------------------------------------------------- the real side
def parted(train: Data) -> tuple[Tensor, Tensor]:
    """The rows of a training split to learn from and those held out for choosing σ.

    Held out is a sixth: of MNIST the last 10,000 as published, of other data, which may be stored class by class, a random one.
    """
    count = len(train)
    order = torch.arange(count)
    if train.name not in IN_ORDER:
        order = torch.from_numpy(rng.permutation(0, "parzen/held", 0, count))
    first = count - max(1, count // 6)
    return order[:first], order[first:]


def validation_images(train: Data) -> Tensor:
    """What σ is chosen on, (V, d)."""
    return flat(train.images[parted(train)[1][:VALIDATION]])


def real_centres(train: Data) -> Tensor:
    """Real images as centres, (M, d): a fixed random choice of those that are not held out."""
    rows = parted(train)[0]
    order = torch.from_numpy(rng.permutation(0, "parzen/centres", 0, len(rows)))
    return flat(train.images[rows[order[:CENTRES]]])


def centroids(train: Data) -> Tensor:
    """The k-means of the images that are not held out, (M, d): at most 10,000, five images for each on average.

    Lloyd's algorithm from real images on; distances are taken in the first principal components, the centroids are means of whole
    images, and one that lost all of its images stays where it was.
    """
    images = train.images[parted(train)[0]]
    count = max(1, min(CENTRES, len(images) // PER_CENTROID))
    order = torch.from_numpy(rng.permutation(0, "parzen/k-means", 0, len(images)))
    some = flat(images[order[:SAMPLE]])
    middle = some.mean(0)
    axes = torch.linalg.svd(some - middle, full_matrices=False)[2][:DIRECTIONS].T
    short = torch.cat([(flat(rows) - middle) @ axes for rows in torch.split(images, ROWS)])
    centres, nearest = short[order[:count]], order
    for _ in range(ITERATIONS):
        nearest = torch.cat([squared(rows, centres).argmin(1) for rows in torch.split(short, ROWS)])
        centres = means(short, nearest, centres)
    return means(images, nearest, flat(images[order[:count]]))


def means(members: Tensor, nearest: Tensor, centres: Tensor) -> Tensor:
    """The mean (M, d) of the members nearest to each centre (M, d); the centre itself where there is none.

    ``members`` are (N, d) float32, or (N, C, H, W) uint8 and then flattened a few at a time; ``nearest`` is (N,) int64.
    """
    total, size = torch.zeros_like(centres), torch.bincount(nearest, minlength=len(centres))
    for first in range(0, len(members), ROWS):
        rows = members[first : first + ROWS]
        flattened = rows if rows.is_floating_point() else flat(rows)
        total.index_add_(0, nearest[first : first + ROWS], flattened)
    return torch.where(size.unsqueeze(1) > 0, total / size.clamp(min=1).unsqueeze(1), centres)


def references(train: Data, test: Data) -> tuple[Likelihood, Likelihood]:
    """Of real images and of k-means centroids as the centres, from the cache or computed now and put there."""
    recipe = f"{VERSION}/{ITERATIONS}/{DIRECTIONS}/{train.fingerprint}/{test.fingerprint}"
    digest = hashlib.sha256(recipe.encode()).hexdigest()[:32]
    path = cache() / "parzen" / f"{digest}.safetensors"
    if path.is_file():
        with contextlib.suppress(RunError, KeyError):  # a damaged file is made again
            table = weights.read(path)[0]["references"].tolist()
            return Likelihood(*table[0]), Likelihood(*table[1])
    held, unseen = validation_images(train), flat(test.images)
    real = likelihood(real_centres(train), held, unseen)
    means = likelihood(centroids(train), held, unseen)
    rows = [dataclasses.astuple(found) for found in (real, means)]
    with contextlib.suppress(RunError, OSError):  # a cache that cannot be written costs time
        weights.write(
            path,
            {"references": torch.tensor(rows, dtype=torch.float64)},
            {"data": train.name, "version": VERSION},
        )
    return real, means
