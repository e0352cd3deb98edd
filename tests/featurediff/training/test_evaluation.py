"""Confusion matrix and per-class accuracy against counts by hand."""

import numpy as np
import pytest
import torch
from torch import nn

from featurediff.runtime.tables import read_table, write_table
from featurediff.training.evaluation import COLUMNS, class_table, confusion_table, evaluate
from featurediff.training.settings import TrainingSettings

CONFUSION = np.array([[4, 1, 0], [2, 0, 0], [0, 0, 0]])
NAMES = ["cat", "dog", "NA"]


def test_loss_accuracy_and_confusion_are_those_of_all_batches() -> None:
    logits = torch.tensor([[3.0, 0, 0], [0, 3, 0], [0, 3, 0], [0, 0, 3], [3, 0, 0]])
    labels = torch.tensor([0, 0, 1, 1, 0])
    model = nn.Identity().train()
    seen: list[int] = []
    batches = [(logits[:3], labels[:3]), (logits[3:], labels[3:])]
    found = evaluate(model, batches, 3, TrainingSettings(epochs=1), seen.append)
    assert seen == [3, 2]
    assert not model.training
    assert found.confusion.tolist() == [[2, 1, 0], [0, 1, 1], [0, 0, 0]]
    assert found.accuracy == 3 / 5
    assert found.loss == pytest.approx(float(nn.functional.cross_entropy(logits, labels)))


def test_the_matrix_has_a_row_a_class_and_a_column_a_predicted_class(tmp_path) -> None:
    write_table(confusion_table(CONFUSION, NAMES), tmp_path / "confusion.csv")
    table = read_table(tmp_path / "confusion.csv")
    assert table.columns.tolist() == ["class_name", *NAMES]
    assert table["class_name"].tolist() == NAMES
    assert table[NAMES].to_numpy().tolist() == CONFUSION.tolist()


def test_each_class_has_its_accuracy_and_what_it_is_taken_for(tmp_path) -> None:
    write_table(class_table(CONFUSION, NAMES), tmp_path / "classes.csv")
    table = read_table(tmp_path / "classes.csv")
    assert table.columns.tolist() == list(COLUMNS)
    cat, dog, none = (row for _, row in table.iterrows())
    assert (cat["pictures"], cat["correct"], cat["accuracy"], cat["predicted"]) == (5, 4, 0.8, 6)
    assert cat["precision"] == pytest.approx(4 / 6)
    assert cat["accuracy_low"] < 0.8 < cat["accuracy_high"]
    assert (dog["accuracy"], dog["mistaken_for"], dog["mistaken"], dog["precision"]) == (0, "cat", 2, 0)
    assert none["pictures"] == 0
    assert none[["accuracy", "accuracy_low", "precision", "mistaken_for"]].isna().all()
    right = class_table(np.diag([3, 2]), ["a", "b"])
    assert right["mistaken_for"].isna().all()
    assert right["mistaken"].tolist() == [0, 0]
