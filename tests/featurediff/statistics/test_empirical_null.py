"""The drift of a layer against simulated layers of a known one."""

import numpy as np
import pytest
from scipy import stats

from featurediff.statistics.empirical_null import EmpiricalNull, fit_distance_null


def test_drift_is_found_among_changed_channels() -> None:
    found = []
    for run in range(12):
        rng = np.random.default_rng(run)
        noise = np.exp(rng.normal(size=800))
        noise /= 2 * noise.max()
        log_distance = -3 + 0.8 * np.log(noise) + 0.5 * rng.normal(size=800)
        clean = fit_distance_null(np.exp(log_distance), 1 - noise)
        assert clean.freedom == pytest.approx(1 / (1 / (0.37 * 400) + 1 / 6))
        log_distance[:160] += 5
        mixed = fit_distance_null(np.exp(log_distance), 1 - noise)
        excess = mixed.excess(np.exp(log_distance), 1 - noise)
        assert excess[:160].min() > excess[160:].max()
        at = np.log(noise).mean()
        found.append([(d.slope, d.slope * at + d.middle - 0.8 * at + 3, d.scale) for d in (clean, mixed)])
    clean, mixed = np.mean(found, 0)
    assert clean == pytest.approx((0.8, 0, 0.5), abs=0.025)
    # a fifth changed: the middle of all is the unchanged channels' 5/8 point, the lower quartile their 5/16 point
    middle, quartile = stats.norm.ppf([5 / 8, 5 / 16])
    assert mixed == pytest.approx((0.8, 0.5 * middle, 0.5 * 1.4826 * (middle - quartile)), abs=0.03)


def test_excess_and_its_p_values() -> None:
    null = EmpiricalNull(-1.0, 0.5, 5.0, slope=1.0)
    distance, floor = np.array([np.exp(-1), np.exp(0.5), 0, 1]), np.array([0, 0, 0.5, 1 - 1e-12])
    assert null.excess(distance, floor) == pytest.approx([0, 3, np.nan, np.nan], nan_ok=True)  # no change, no noise
    assert null.score(np.array([0.0])) == pytest.approx([2])
    assert null.p_value(np.array([0, 2.015])) == pytest.approx([0.5, 0.05], abs=1e-4)
