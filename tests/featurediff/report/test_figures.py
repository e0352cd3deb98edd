"""What the figures show, read back from the figure, and that their bytes are reproducible."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from PIL import Image

from featurediff.report.figures import (
    change_over_epochs,
    confusion_matrix,
    save_figure,
    similarity_boxplot,
    training_curves,
)
from featurediff.report.palette import PALETTE


def similarity(network: str, layer: str, cosine: list[float], failed: tuple[int, ...] = ()) -> pd.DataFrame:
    table = pd.DataFrame({"network": network, "layer": layer, "channel": range(len(cosine)), "cosine": cosine})
    rank = table["cosine"].where(~table["channel"].isin(failed)).rank(method="first")
    return table.assign(rank=rank.astype("Int64"))


def log(epochs: int = 3) -> pd.DataFrame:
    epoch = np.arange(epochs)
    table = {"epoch": epoch, "train_loss": 3.0 - epoch, "val_loss": 3.5 - epoch, "learning_rate": 1e-3 * 0.9**epoch}
    return pd.DataFrame(table | {"train_accuracy": 0.2 + 0.2 * epoch, "val_accuracy": 0.1 + 0.1 * epoch})


def medians(figure: Figure) -> list[float]:
    """Heights of the boxes' thick lines, from left to right."""
    lines = [line for line in figure.axes[0].lines if line.get_linewidth() == 2 and len(line.get_xdata()) == 2]
    return [line.get_ydata()[0] for line in sorted(lines, key=lambda line: line.get_xdata()[0])]


def points(figure: Figure) -> list[float]:
    return sorted(y for line in figure.axes[0].lines if line.get_marker() == "." for y in line.get_ydata())


def test_boxes_are_the_sound_channels_by_layer_and_network() -> None:
    tables = [
        similarity("dogs", "layer3.5", [0.1, 0.5, 0.9, 0.0], failed=(3,)),
        similarity("dogs", "layer4.2", [0.2, 0.4]),
        similarity("cars", "layer3.5", [0.7]),
        similarity("cars", "layer4.2", [0.6, 0.8]),
    ]
    figure = similarity_boxplot(tables)
    assert medians(figure) == pytest.approx([0.5, 0.7, 0.3, 0.7])
    assert points(figure) == pytest.approx([0.1, 0.2, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9])
    labels = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    assert labels == ["layer3.5\nn = 3, 1", "layer4.2\nn = 2, 2"]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["dogs", "cars"]
    assert figure.axes[0].get_ylabel() == "cosine similarity to the base network"
    values = np.random.default_rng(0).uniform(size=500)
    figure = similarity_boxplot([similarity("dogs", "layer4.2", list(values))])
    assert medians(figure) == pytest.approx([np.median(values)])
    assert len(points(figure)) <= 50  # of many values only the 5 % beyond each whisker


def test_training_curves_show_every_column_in_its_unit() -> None:
    figure = training_curves({"dogs": log(), "cars": log(5)})
    loss, accuracy, rate = figure.axes
    assert [len(axis.lines) for axis in figure.axes] == [4, 4, 2]
    np.testing.assert_allclose(loss.lines[0].get_ydata(), log()["val_loss"])
    np.testing.assert_allclose(accuracy.lines[3].get_ydata(), 100 * log(5)["train_accuracy"])
    np.testing.assert_allclose(rate.lines[1].get_ydata(), log(5)["learning_rate"])
    assert [axis.get_xlabel() for axis in figure.axes] == ["epoch"] * 3
    assert accuracy.get_ylabel() == "accuracy (%)"
    assert {line.get_color() for line in loss.lines} == set(PALETTE[:2])


def through_time() -> pd.DataFrame:
    """Two layers, three channels, epochs 0 and 4; the first layer is frozen, the second changes by its channel."""
    rows = [(layer, channel, epoch) for layer in ("a", "b") for channel in range(3) for epoch in (0, 4)]
    table = pd.DataFrame(rows, columns=["layer", "channel", "epoch"])
    change = (table["layer"] == "b") * (1 + table["channel"]) * (1 + table["epoch"]) / 100
    found = {"paired_similarity": 1 - change, "floor": 0.5, "correlation": 1 - 2 * change}
    return table.assign(**found, tuned_likes_base_picture=1 - change, weight_change=3 * change)


def lines(axis) -> list[tuple[list[float], list[float]]]:
    """Of an axis the solid lines that have points, (x, y)."""
    drawn = [line for line in axis.lines if line.get_linestyle() == "-" and len(line.get_xdata())]
    return [(list(line.get_xdata()), list(line.get_ydata())) for line in drawn]


def test_change_over_epochs_starts_at_the_base_and_shows_the_layers_medians() -> None:
    figure = change_over_epochs(through_time())
    pictures, probed, answer, filters = (lines(axis) for axis in figure.axes)
    assert [x for x, _ in pictures] == [[-1, 0, 4]] * 2
    assert pictures[0][1] == probed[0][1] == filters[0][1] == [0, 0, 0]
    assert pictures[1][1] == pytest.approx([0, 0.02, 0.1])
    assert probed[1][1] == pytest.approx([0, 0.04, 0.2])
    assert answer[0][1] == [1, 1, 1]
    assert answer[1][1] == pytest.approx([1, 0.98, 0.9])
    assert filters[1][1] == pytest.approx([0, 0.06, 0.3])
    floors = [list(line.get_ydata()) for line in figure.axes[0].lines if line.get_linestyle() == ":"]
    assert floors == [[0.5, 0.5]] * 2
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["a, n = 3", "b, n = 3"]
    table = through_time().assign(correlation=np.nan)  # what is not known is left out
    table.loc[table["layer"] == "b", "paired_similarity"] = np.nan
    similarity, correlation = change_over_epochs(table).axes[:2]
    assert [y for _, y in lines(similarity)] == [[0, 0, 0]]
    assert lines(correlation) == []
    assert [text.get_text() for text in correlation.texts] == ["nothing to show"]


@pytest.mark.parametrize("draw", [lambda: similarity_boxplot([]), lambda: training_curves({})])
def test_nothing_to_plot_is_said_in_bytes_that_are_reproducible_and_name_no_software(draw, tmp_path) -> None:
    assert [text.get_text() for text in draw().axes[0].texts] == ["nothing to show"]
    files = [tmp_path / "one.png", tmp_path / "two.png"]
    for file in files:
        save_figure(draw(), file)
    assert files[0].read_bytes() == files[1].read_bytes()
    with Image.open(files[0]) as image:
        assert image.size[0] > 100
        assert "Software" not in image.info
    assert sorted(tmp_path.iterdir()) == files


def test_a_confusion_matrix_shows_shares_of_each_class_and_a_large_one_no_names(tmp_path) -> None:
    names = ["$1 to $2", r"$\q$", "a name that is much too long for it"]  # text, no formulas
    figure = confusion_matrix(np.array([[3, 1, 0], [0, 2, 0], [0, 0, 0]]), names)
    save_figure(figure, tmp_path / "small.png")
    axis = figure.axes[0]
    shown = np.asarray(axis.images[0].get_array().filled(np.nan), float)
    np.testing.assert_allclose(shown, [[75, 25, 0], [0, 100, 0], [np.nan] * 3])
    assert [text.get_text() for text in axis.texts] == ["75", "25", "100"]
    for labels in (axis.get_xticklabels(), axis.get_yticklabels()):
        assert [label.get_text() for label in labels] == [*names[:2], "a name that is much too…"]
    assert axis.get_title() == "Confusion, 6 validation pictures"
    figure = confusion_matrix(np.eye(196, dtype=np.int64), [f"class {number}" for number in range(196)])
    assert not figure.axes[0].get_yticklabels()
    assert not figure.axes[0].texts
    assert max(figure.get_size_inches() * figure.dpi) < 1500
