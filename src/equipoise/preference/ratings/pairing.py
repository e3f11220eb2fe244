"""Which pair to play next: the one whose game narrows the ratings most."""

import numpy as np
from numpy.typing import NDArray

from equipoise.preference.ratings.bradley_terry import RatingFit, tie_eta
from equipoise.preference.ratings.likelihood import game_information
from equipoise.preference.ratings.newton import DenseSystem


def pair_gain(fit: RatingFit) -> NDArray[np.float64]:
    """Return (K, K): how much one more game of (i, j) lowers trace(A+) at the present chances.

    The gain is q |A+ r|^2 / (1 + q r'A+ r) with r = e_i - e_j and q = P_ij P_ji (with a tie model
    the information of a game). Zero on the diagonal; NaN where the two have no common scale.
    """
    k = len(fit.models)
    gain = np.full((k, k), np.nan)
    np.fill_diagonal(gain, 0.0)
    rated = np.flatnonzero(~np.isnan(fit.log_strength))
    if len(rated) < 2:
        return gain
    information = fit.information
    if not isinstance(information, np.ndarray):
        information = information.toarray()
    information = information[np.ix_(rated, rated)]
    t, league = fit.log_strength[rated], np.unique(fit.league[rated], return_inverse=True)[1]
    pinned = np.abs(information.sum(axis=1)).max() > 1e-8 * information.diagonal().max()
    inverse = DenseSystem(information, len(rated), None if pinned else league).inverse()
    spread = _of_differences(inverse)
    reach = _of_differences(inverse @ inverse)
    q = game_information(fit.tie_model, t[:, None] - t[None, :], tie_eta(fit))
    value = q * reach / (1 + q * spread)
    if not pinned:
        value[league[:, None] != league[None, :]] = np.nan
    gain[np.ix_(rated, rated)] = value
    return gain


def _of_differences(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return r'M r for every r = e_i - e_j, (K, K)."""
    diagonal = matrix.diagonal()
    return np.maximum(diagonal[:, None] + diagonal[None, :] - 2 * matrix, 0.0)
