"""Total intervals hold the truth as often as they say; docs/validation.md has the whole grid."""

import numpy as np
import pytest

from frazil.analysis.coverage import of_bands, of_means, of_proportions


@pytest.mark.parametrize("n_members", [3, 8])
@pytest.mark.parametrize(("p", "n"), [(0.02, 200), (0.3, 60)])
def test_a_probability_s_total_interval_covers(n_members: int, p: float, n: int) -> None:
    rng = np.random.default_rng([n_members, n])
    of_prior = of_proportions(p, n, n_members, None, 500, rng)
    assert 0.93 - 0.02 < of_prior < 0.97 + 0.02  # two standard errors of 500 campaigns
    assert of_proportions(p, n, n_members, 0.4, 100, rng) > 0.9
    assert of_proportions(p, n, n_members, 1.0, 300, rng) > 0.9 - 0.03


@pytest.mark.parametrize("n_members", [3, 5, 8])
def test_means_and_bands_cover(n_members: int) -> None:
    rng = np.random.default_rng(n_members)
    for coverage, sizes in ((of_means, (50, 500)), (of_bands, (4, 8, 16))):
        for n in sizes:
            assert 0.93 < coverage(n, n_members, None, 4000, rng) < 0.97
            for tau in (0.0, 0.15, 0.4, 1.0):
                assert coverage(n, n_members, tau, 4000, rng) > 0.93
