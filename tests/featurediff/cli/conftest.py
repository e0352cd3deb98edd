"""Commands in this process; a small results folder with real statistics in its tables, and no training behind it."""

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from feature_vis.images.png import channel_of, write_picture
from featurediff.cli.main import main
from featurediff.comparison.compare import describe_columns, rank_layers
from featurediff.rendering.paths import picture_paths
from featurediff.statistics.combined_score import add_combined_score
from featurediff.statistics.mmd import visual_table

LAYERS = ("layer3.1", "layer4.1")
CHANNELS = range(14)
SEEDS = range(4)
PLANTED = 5


@pytest.fixture(scope="session")
def planted() -> int:
    """The channel of layer4.1 that is another one in the tuned networks."""
    return PLANTED


@pytest.fixture(scope="session")
def run() -> Callable[..., Result]:
    """One command, which ends with this status."""

    def done(*arguments: object, status: int = 0) -> Result:
        result = CliRunner().invoke(main, [str(argument) for argument in arguments])
        assert result.exit_code == status, result.output
        assert result.exception is None or isinstance(result.exception, SystemExit)
        return result

    return done


@pytest.fixture(scope="session")
def made_results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "results"
    rng = np.random.default_rng(0)
    for network, layer in itertools.product(("base", "dogs", "cars"), LAYERS):
        for path in picture_paths(folder / network / "pictures" / layer, CHANNELS, SEEDS):
            notes = {"layer": layer, "channel": channel_of(path)}
            write_picture(path, rng.integers(0, 255, (4, 4, 3), np.uint8), notes)
    for network in ("dogs", "cars"):
        write_tables(folder / "compare" / network, network, rng)
    pair = folder / "compare" / "dogs" / "layer4.1" / "most_different" / f"rank1_channel{PLANTED}.png"
    write_picture(pair, np.zeros((4, 10, 3), np.uint8), {})
    return folder


def write_tables(folder: Path, network: str, rng: np.random.Generator) -> None:
    """The tables of a comparison, by the code that makes them in the workflow; one channel's direction moved."""
    folder.mkdir(parents=True)
    tables = []
    for layer in LAYERS:
        base = rng.normal(size=(len(CHANNELS), 1, 32)) + 0.3 * rng.normal(size=(len(CHANNELS), len(SEEDS), 32))
        tuned = base + 0.1 * rng.normal(size=base.shape)  # (K, S, D)
        if layer == "layer4.1":
            tuned[PLANTED] += 3 * rng.normal(size=32)
        tables.append(visual_table(base, tuned, network=network, layer=layer, channels=list(CHANNELS)))
        tables[-1].assign(cosine=0.5).to_csv(folder / f"{layer}.csv", index=False)
    ranking, summary = rank_layers([add_combined_score(table) for table in tables])
    ranking.to_csv(folder / "ranking.csv", index=False)
    summary.to_csv(folder / "summary.csv", index=False)
    (folder / "columns.yaml").write_text(describe_columns())


@pytest.fixture
def unranked(made_results: Path, tmp_path: Path) -> Path:
    """Results in which there is the table of one layer, and no more."""
    table = Path("compare") / "dogs" / "layer4.1.csv"
    (tmp_path / table).parent.mkdir(parents=True)
    (tmp_path / table).write_bytes((made_results / table).read_bytes())
    return tmp_path
