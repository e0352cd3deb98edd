"""One epoch on a tiny network, against sums that are done by hand."""

from itertools import chain

import pytest
import torch
from torch import nn

from feature_vis.seeding import generator
from featurediff.training.loading import training_order
from featurediff.training.schedule import make_optimizer
from featurediff.training.settings import TrainingSettings
from featurediff.training.trainer import Epochs, Loss, balanced_weights

LABELS = [0, 1, 2, 1, 1, 0, 1, 2, 1, 1]
TARGETS = torch.tensor(LABELS)


def network() -> nn.Module:
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 4 * 4, 3))
    with torch.no_grad():
        model[1].weight.copy_(torch.randn(3, 48, generator=generator("weight")) / 7)
        model[1].bias.zero_()
    return model


def settings(**changes) -> TrainingSettings:
    return TrainingSettings(**{"epochs": 2, "batch_size": 4, "optimizer": "sgd", "learning_rate": 0.1, **changes})


PICTURES = torch.randn(len(LABELS), 3, 4, 4, generator=generator("pictures"))


def train(options: TrainingSettings, model: nn.Module | None = None) -> tuple[dict[str, float], nn.Module]:
    model = model or network()
    epochs = Epochs(model, model.train, make_optimizer(model.parameters(), options), LABELS, 3, options)
    seen: list[int] = []
    batches = [(PICTURES[batch], TARGETS[batch]) for batch in training_order(len(LABELS), options, 0)]
    row = epochs.train(0, batches, seen.append)
    assert sum(seen) == len(LABELS)
    return row, model


def test_the_row_is_of_what_was_seen() -> None:
    options = settings(learning_rate=1e-12)  # nothing moves
    row, model = train(options)
    logits, labels = model(PICTURES).detach(), TARGETS
    assert row["train_loss"] == pytest.approx(float(nn.functional.cross_entropy(logits, labels)), rel=1e-5)
    assert row["train_accuracy"] == int((logits.argmax(1) == labels).sum()) / len(labels)
    assert row["learning_rate"] == 1e-12
    assert row["images_per_second"] > 0


@pytest.mark.parametrize("accumulate", [2, 3, 5])
def test_accumulated_batches_are_one_large_batch(accumulate: int) -> None:
    both = settings(batch_size=4 * accumulate), settings(accumulate_batches=accumulate)
    large, small = ([*chain.from_iterable(training_order(len(LABELS), options, 0))] for options in both)
    assert large == small
    (first, of_large), (second, of_small) = map(train, both)
    if accumulate > 2:  # one step in all: the loss is that of the start
        assert first["train_loss"] == pytest.approx(second["train_loss"], rel=1e-5)
    for a, b in zip(of_large.parameters(), of_small.parameters(), strict=True):
        torch.testing.assert_close(a, b)


def test_balanced_weights_give_each_class_the_same_part() -> None:
    weights = balanced_weights(LABELS, 4)  # there is none of the last
    counts = torch.tensor([2, 6, 2, 0])
    torch.testing.assert_close(weights[:3] * counts[:3], torch.full((3,), 10 / 3))
    assert float(weights[TARGETS].mean()) == pytest.approx(1)
    assert weights.isfinite().all()


def test_a_weighted_loss_weighs_pictures_not_batches_and_smoothed_labels_are_torchs() -> None:
    logits, labels, shares = network()(PICTURES), TARGETS, nn.functional.one_hot(TARGETS, 3).float()
    weights = balanced_weights(LABELS, 3)
    each = nn.functional.cross_entropy(logits, labels, reduction="none")
    loss = Loss(class_weights=weights)
    torch.testing.assert_close(loss(logits, labels), (each * weights[labels]).mean())
    torch.testing.assert_close(loss(logits[:1], labels[:1]), each[0] * weights[labels[0]])
    torch.testing.assert_close(loss(logits, shares), loss(logits, labels))
    smoothed = nn.functional.cross_entropy(logits, shares * 0.7 + 0.1)
    torch.testing.assert_close(Loss(0.3)(logits, labels), smoothed)


def test_each_option_reaches_the_weights_and_none_draws_from_the_global_generator() -> None:
    start = network()[1].weight
    plain = train(settings())[1][1].weight
    for changes in ({"class_weights": "balanced"}, {"label_smoothing": 0.3}, {"mixup": 1.0}):
        assert not torch.equal(train(settings(**changes))[1][1].weight, plain)
    warm = train(settings(warmup_epochs=1.5))[1][1].weight
    assert (warm - start).norm() < 0.7 * (plain - start).norm()  # it starts small within the epoch
    model = nn.Sequential(nn.Dropout(0.5), network())
    state = torch.get_rng_state()
    train(settings(mixup=0.5), model)
    assert torch.equal(torch.get_rng_state(), state)
