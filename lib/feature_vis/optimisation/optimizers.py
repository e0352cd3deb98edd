"""Optimizers of a batch of pictures, each of which is optimised as if alone."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

__all__ = ["BatchOptimizer", "FusedAdam", "OptimizerFactory", "TorchOptimizer"]

OptimizerFactory = Callable[..., torch.optim.Optimizer]


class BatchOptimizer(Protocol):
    """Made of parameters, (B, *P), which it changes in place, and of each picture's memory of earlier steps, or {}."""

    def step(self, gradients: Tensor) -> None:
        """Change the parameters by the loss's gradients, (B, *P)."""

    def memory(self, row: int) -> dict[str, Any]:
        """What a later optimizer needs to go on with this picture."""


class FusedAdam:
    """Adam (Kingma and Ba 2015), one kernel for all pictures: bit for bit what `torch.optim.Adam(fused=True)` computes.

    The kernel is called directly. `torch.optim` would loop over the pictures in Python and import torch's compiler,
    which takes most of a second of processor time (`benchmarks/NOTES.md`).
    """

    def __init__(
        self, parameters: Tensor, memories: Sequence[Mapping[str, Any]], learning_rate: float, momentum: float
    ) -> None:
        self._settings: dict[str, Any] = {"lr": learning_rate, "beta1": momentum, "beta2": 0.999, "eps": 1e-8}
        self._settings |= {"weight_decay": 0.0, "amsgrad": False, "maximize": False}
        rows = parameters.detach().unbind()
        zeros = torch.zeros_like(rows[0])
        self._state = {
            "step": torch.stack([memory.get("step", zeros.new_zeros(())) for memory in memories]),  # (B,)
            "exp_avg": torch.stack([memory.get("exp_avg", zeros) for memory in memories]),  # (B, *P)
            "exp_avg_sq": torch.stack([memory.get("exp_avg_sq", zeros) for memory in memories]),  # (B, *P)
        }
        self._rows = (rows, *(self._state[name].unbind() for name in ("exp_avg", "exp_avg_sq", "step")))

    def step(self, gradients: Tensor) -> None:
        parameters, averages, squares, steps = self._rows
        self._state["step"] += 1
        torch._fused_adam_(parameters, gradients.unbind(), averages, squares, [], steps, **self._settings)

    def memory(self, row: int) -> dict[str, Any]:
        return {name: values[row].clone() for name, values in self._state.items()}


class TorchOptimizer:
    """Any optimizer of `torch.optim`, with a parameter for each picture, so that none sees another."""

    def __init__(
        self,
        parameters: Tensor,
        memories: Sequence[Mapping[str, Any]],
        learning_rate: float,
        factory: OptimizerFactory,
    ) -> None:
        self._rows = parameters.detach().unbind()
        self._optimizer = factory(list(self._rows), lr=learning_rate)
        for row, memory in zip(self._rows, memories, strict=True):
            if memory:
                self._optimizer.state[row] = dict(memory)

    def step(self, gradients: Tensor) -> None:
        for row, gradient in zip(self._rows, gradients.unbind(), strict=True):
            row.grad = gradient
        self._optimizer.step()

    def memory(self, row: int) -> dict[str, Any]:
        return dict(self._optimizer.state[self._rows[row]])
