"""Seeds derive from what they are for."""

from feature_vis.seeding import derive_seed, generator


def test_seeds_are_distinct_and_in_range() -> None:
    seeds = [derive_seed(*parts) for parts in [("a", 1), ("a1",), (1, "a"), ("a", "1"), ("a", 2)]]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_a_seed_never_changes() -> None:
    # pictures on disk depend on it
    assert derive_seed(0, "layer4.2", 1276, "start") == 2_739_787_949_838_418_287
    assert generator("x").initial_seed() == derive_seed("x")
