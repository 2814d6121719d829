"""What weights cost on some scenes by each measure, and the weights that cost least.

In: observations, and the scenes to look at. Out: the mean over scenes of what the measure says,
lower is better; an affine, where the measure compares in the server's space.
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from kit.fitting.observations import Floats, Moments, Observations
from kit.fitting.shrinkage import Line, fit_line
from kit.fitting.simplex import least_absolute, least_squares

_ROUNDS = 30
_STRETCHED_ROUNDS = 6
_SMALL = 1e-12  # of a mean squared error: no image is nearer to its truth


class Objective(Protocol):
    """The cost of weights on some scenes, by one measure."""

    def loss(self, weights: Floats) -> float:
        """The mean over scenes; weights are [K], one for each source, and add up to 1."""

    def simplex(self) -> Floats:
        """The weights [M] of the members that cost least, none negative."""

    def color(self) -> tuple[float, float, float]:
        """The one colour, in [0, 1], that members have to beat."""

    def excess(self, member: int) -> Floats | None:
        """How much more a member costs than that colour, for each scene [S].

        None where that says nothing of the member.
        """

    def to_color(self, member: int) -> float:
        """A member's error, without an affine, divided by that of this colour."""


class AbsoluteError:
    """MAE, of the pixels that were drawn."""

    def __init__(self, observed: Observations, rows: Sequence[int]) -> None:
        pixels = observed.pixels[[*rows]]
        self._members = observed.members
        self._sources = np.ascontiguousarray(np.moveaxis(pixels, 1, 0)).reshape(
            observed.sources, -1
        )
        self._channels = observed.truth[[*rows]]
        self._truth = self._channels.reshape(-1)

    def loss(self, weights: Floats) -> float:
        """The mean absolute error."""
        return float(np.abs(weights @ self._sources - self._truth).mean())

    def simplex(self) -> Floats:
        """Least absolute deviations."""
        return least_absolute(self._sources[: self._members], self._truth)

    def color(self) -> tuple[float, float, float]:
        """The median."""
        red, green, blue = np.median(self._channels, axis=(0, 2)).tolist()
        return red, green, blue

    def excess(self, member: int) -> Floats:
        """The mean absolute error of each scene, less that of the median."""
        truth = self._truth.reshape(len(self._channels), -1)
        errors = np.abs(self._sources[member].reshape(truth.shape) - truth).mean(axis=1)
        excess: Floats = errors - self._color_errors()
        return excess

    def to_color(self, member: int) -> float:
        """Of the mean absolute errors."""
        return 1 + float(self.excess(member).mean() / self._color_errors().mean())

    def _color_errors(self) -> Floats:
        errors = np.abs(self._channels - np.array(self.color())[:, None])
        means: Floats = errors.mean(axis=(1, 2))
        return means


class SquaredError:
    """PSNR, the mean of each scene's, exact over all pixels; its loss is 10 log10 of the MSE."""

    def __init__(self, observed: Observations, rows: Sequence[int]) -> None:
        self._members = observed.members
        means = observed.means[[*rows]]
        self._true_means = means[..., -1]
        self._true_variances = observed.covariances[[*rows]][..., -1, -1]
        moments = observed.covariances[[*rows]] + means[..., :, None] * means[..., None, :]
        self._moments = moments.mean(axis=1)  # over channels

    def loss(self, weights: Floats) -> float:
        """The mean of 10 log10(MSE)."""
        return float(10 * np.log10(np.maximum(self._errors(weights), _SMALL)).mean())

    def simplex(self) -> Floats:
        """Least squares, each scene weighted by the reciprocal of its error until nothing changes.

        A mean of logarithms falls where a mean of squared errors with these weights does.
        """
        count = self._members
        weights = np.full(count, 1 / count)
        for _ in range(_ROUNDS):
            before = weights
            every = 1 / np.maximum(self._errors(self._padded(weights)), _SMALL)
            moments = (self._moments * (every / every.sum())[:, None, None]).sum(axis=0)
            weights = least_squares(moments[:count, :count], moments[:count, -1])
            if np.abs(weights - before).max() < 1e-6:
                break
        return weights

    def color(self) -> tuple[float, float, float]:
        """The mean."""
        red, green, blue = self._true_means.mean(axis=0).tolist()
        return red, green, blue

    def excess(self, member: int) -> Floats:
        """10 log10(MSE) of each scene, less that of the mean."""
        single = np.eye(self._moments.shape[1] - 1)[member]
        decibels = 10 * np.log10(np.maximum(self._errors(single), _SMALL))
        excess: Floats = decibels - self._color_decibels()
        return excess

    def to_color(self, member: int) -> float:
        """Of the geometric means of squared errors."""
        return float(10 ** (self.excess(member).mean() / 10))

    def _color_decibels(self) -> Floats:
        distance = np.square(self._true_means - self._true_means.mean(axis=0))
        errors = (distance + self._true_variances).mean(axis=1)
        decibels: Floats = 10 * np.log10(np.maximum(errors, _SMALL))
        return decibels

    def _errors(self, weights: Floats) -> Floats:
        signed = np.append(weights, -1.0)
        errors: Floats = signed @ self._moments @ signed
        return errors

    def _padded(self, weights: Floats) -> Floats:
        return np.append(weights, np.zeros(self._moments.shape[1] - 1 - len(weights)))


class StretchedError:
    """The server's MSE with anchors, of the best affine; members and truth are stretched.

    The affine is fitted on all scenes but those of one place, for each place in turn, and costs
    what it errs there. Exact over all pixels but for the clipping and the anchors themselves, and
    for members that are averaged after they are stretched: the average itself is stretched where
    it is scored.
    """

    def __init__(self, observed: Observations, rows: Sequence[int]) -> None:
        self._members = observed.members
        self._means = observed.means[[*rows]]
        self._covariances = observed.covariances[[*rows]]
        self._places = [observed.places[row] for row in rows]

    def loss(self, weights: Floats) -> float:
        """The mean squared error on places that the affine has not seen."""
        return self.line(weights).loss

    def line(self, weights: Floats) -> Line:
        """The affine of an average, shrunk as far as pays on places that it has not seen."""
        found = self._moments(weights)
        truth = self._means[..., -1], self._covariances[..., -1, -1]
        return fit_line(
            found.mean, found.variance, found.covariance, truth[0], truth[1], self._places
        )

    def simplex(self) -> Floats:
        """Least squares in the server's space: weights and affine in turn."""
        count = self._members
        weights = np.full(count, 1 / count)
        sources = slice(0, count)
        for _ in range(_STRETCHED_ROUNDS):
            line = self.line(np.append(weights, np.zeros(self._sources - count)))
            within, between, offset = np.array(line.channels).T
            if not within.any() and not between.any():
                break  # one colour, whatever the weights are
            means = self._means[..., sources]
            rest = self._means[..., -1] - offset
            gram = np.einsum("c,scij->ij", within**2, self._covariances[..., sources, sources])
            gram += np.einsum("c,sci,scj->ij", between**2, means, means)
            products = np.einsum("c,sci->i", within, self._covariances[..., sources, -1])
            products += np.einsum("c,sc,sci->i", between, rest, means)
            weights = least_squares(gram, products)
        return weights

    def color(self) -> tuple[float, float, float]:
        """The mean of the stretched truths."""
        red, green, blue = self._means[..., -1].mean(axis=0).tolist()
        return red, green, blue

    def excess(self, member: int) -> None:
        """Nothing that tells: the affine of a bad member is that colour, and costs no more."""

    def to_color(self, member: int) -> float:
        """Of the mean squared errors, without an affine."""
        signed = np.zeros(self._sources + 1)
        signed[member], signed[-1] = 1, -1
        moments = self._covariances + self._means[..., :, None] * self._means[..., None, :]
        # That of the colour on places that it has not seen, with anchors.
        color = self.line(np.eye(self._sources)[0]).one_color
        return float((signed @ moments @ signed).mean()) / color

    @property
    def _sources(self) -> int:
        return int(self._means.shape[-1]) - 1

    def _moments(self, weights: Floats) -> Moments:
        inner = self._covariances[..., :-1, :-1]
        return Moments(
            mean=self._means[..., :-1] @ weights,
            variance=np.einsum("i,scij,j->sc", weights, inner, weights),
            covariance=self._covariances[..., :-1, -1] @ weights,
        )


def objective(measure: str, observed: Observations, rows: Sequence[int]) -> Objective:
    """What weights cost by a measure, a key of `OBJECTIVES`, on the scenes `rows`."""
    return OBJECTIVES[measure](observed, rows)


OBJECTIVES: dict[str, type[AbsoluteError] | type[SquaredError] | type[StretchedError]] = {
    "mae": AbsoluteError,
    "psnr": SquaredError,
    "official_2022": StretchedError,
    "official_2023": StretchedError,
}
"""By the measure that is fitted. With one truth and one image a scene the two years' are alike."""
