"""Lucent and Horama, as their users call them for one channel of a torchvision classifier.

One contract: `run(model, layer, channel, size, steps, seed)` makes exactly `steps` steps and returns the picture,
(size, size, 3) uint8. Parameterization, transforms, objective and optimiser are the peer's own defaults; both loop
inside, so there is no single step to call. `PEERS` names the runs, `available` the ones that work here.

What a comparison must know:

- Sizes. Every network pass of every peer is at `size` × `size`. Lucent would show pictures below 224 px to the
  network at 224, and larger ones at whatever its transforms leave (224 px become 248 to 273): `fixed_image_size` is
  set to `size`. Horama's network size is 224 whatever the picture's: `model_input_size` is set to `size`.
- Passes. One of Horama's steps is six passes (its default `crops_per_iteration`; with one it fails), over crops a
  quarter to three tenths as wide as the picture. All others make one pass a step. `PASSES` has the numbers.
- Objectives. Both read the mean of the target's output after its ReLU; Horama's over magnified crops, so that the
  activation of its whole picture at `size` says less than it does for the others.
- The network. Lucent always runs all of it and hooks every module. Horama runs the user's function: here a network
  cut at the target by `original.ended_at`, made anew in each run, as lucent's hooks are.
- Horama's `maco` is left out: it downloads a spectrum. `fourier` has the others' parameterization.
- Neither takes a seed: torch's and NumPy's *global* generators are seeded here.
"""

import contextlib
import importlib
import io
from collections.abc import Callable, Iterator
from unittest import mock

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from original import ended_at
from torch import Tensor, nn

__all__ = ["PASSES", "PEERS", "Run", "available", "horama", "lucent"]

Picture = NDArray[np.uint8]
Run = Callable[[nn.Module, str, int, int, int, int], Picture]


def lucent(model: nn.Module, layer: str, channel: int, size: int, steps: int, seed: int) -> Picture:
    """Lucent's `render_vis` with its defaults, but for the size that the network sees."""
    render = importlib.import_module("lucent.optvis.render")
    param = importlib.import_module("lucent.optvis.param")
    _seed(seed)
    with _as_before(model):
        (images,) = render.render_vis(
            model,
            f"{layer.replace('.', '_')}:{channel}",
            lambda: param.image(size),
            thresholds=(steps,),
            fixed_image_size=size,
            progress=False,
            show_image=False,
        )  # (1, H, W, 3) in [0, 1]
    return _eight_bits(images[0])


def horama(model: nn.Module, layer: str, channel: int, size: int, steps: int, seed: int) -> Picture:
    """Horama's `fourier` with its defaults, but for the two sizes.

    Horama optimises what the network is shown, ImageNet's normalisation included: it is taken back here, so that
    the picture excites the network as it did during the run.
    """
    library = importlib.import_module("horama")
    network = ended_at(model, layer)
    _seed(seed)
    quiet = contextlib.redirect_stderr(io.StringIO())  # its progress bar cannot be turned off
    with _roi_align_at_hand(), quiet:
        shown, _ = library.fourier(
            lambda images: torch.mean(network(images)[:, channel]),
            total_steps=steps,
            image_size=size,
            model_input_size=size,
            device=next(model.parameters()).device,
        )  # (3, H, W), normalised
    mean, std = shown.new_tensor([0.485, 0.456, 0.406]), shown.new_tensor([0.229, 0.224, 0.225])
    return _eight_bits((shown.detach().permute(1, 2, 0) * std + mean).cpu().numpy())


PEERS: dict[str, Run] = {"lucent": lucent, "horama": horama}
PASSES = {"lucent": 1, "horama": 6}  # pictures that the network sees in a step


def available(model: nn.Module, layer: str, size: int) -> tuple[dict[str, Run], dict[str, str]]:
    """Run each peer for one step: those that work, and for the others the error in one line, by name."""
    works: dict[str, Run] = {}
    errors: dict[str, str] = {}
    for name, run in PEERS.items():
        try:
            run(model, layer, 0, size, 1, 0)
            works[name] = run
        except Exception as error:  # whatever a peer raises is the answer asked for
            errors[name] = f"{type(error).__name__}: {' '.join(str(error).split())}"
    return works, errors


def _seed(seed: int) -> None:
    torch.manual_seed(seed)
    np.random.seed(seed)  # noqa: NPY002 (lucent draws its transforms from it)


def _eight_bits(picture: NDArray[np.floating]) -> Picture:
    """(H, W, 3) in [0, 1], what lies outside is clipped -> the same as whole numbers to 255."""
    return (picture.clip(0, 1) * 255).round().astype(np.uint8)


@contextlib.contextmanager
def _as_before(model: nn.Module) -> Iterator[None]:
    """The weights require gradients, as in a network fresh from torchvision; hooks and flags go back afterwards.

    Lucent leaves a hook on every module; a second run would pay for those of the first.
    """
    hooks = [(module, dict(module._forward_hooks)) for module in model.modules()]
    flags = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    try:
        model.requires_grad_(True)
        yield
    finally:
        for module, before in hooks:
            for key in module._forward_hooks.keys() - before.keys():
                del module._forward_hooks[key]
        for parameter, flag in flags:
            parameter.requires_grad_(flag).grad = None


@contextlib.contextmanager
def _roi_align_at_hand() -> Iterator[None]:
    """Give Horama a `roi_align` where torchvision's compiled one cannot be loaded (beside a CPU build of torch).

    torchvision's own substitute works, but samples every pixel of the picture for every pixel of the result: 23 s a
    step at 64 px, growing with the fourth power of the size (an hour at 224). Nothing is changed where the
    compiled operator is there.
    """
    if hasattr(torch.ops.torchvision, "roi_align"):
        yield
        return
    with mock.patch("horama.common.roi_align", _roi_align):
        yield


def _roi_align(picture: Tensor, boxes: Tensor, output_size: tuple[int, int]) -> Tensor:
    """torchvision's compiled `roi_align` for boxes smaller than the result: (1, C, H, W), (K, 5) -> (K, C, h, w).

    Such a box has one sample, bilinear, in the middle of each of its h × w bins. Samples up to a pixel outside the
    picture take the border's value, those further out are 0 (torchvision `csrc/ops/cpu/roi_align_common.h`).
    """
    x0, y0, x1, y1 = boxes[:, 1:].unbind(1)  # (K,) each, pixels
    if torch.stack([(x1 - x0) / output_size[1], (y1 - y0) / output_size[0]]).max() > 1:
        raise ValueError("a box is larger than the result: torchvision would take more than one sample a bin")
    x, x_inside = _bin_centres(x0, x1, output_size[1], picture.shape[3])  # (K, w)
    y, y_inside = _bin_centres(y0, y1, output_size[0], picture.shape[2])  # (K, h)
    across, down = x[:, None, :].expand(-1, y.shape[1], -1), y[:, :, None].expand(-1, -1, x.shape[1])
    grid = torch.stack([across, down], -1)  # (K, h, w, 2)
    samples = F.grid_sample(picture.expand(len(boxes), -1, -1, -1), grid, padding_mode="border", align_corners=True)
    return samples * (y_inside[:, None, :, None] & x_inside[:, None, None, :])


def _bin_centres(low: Tensor, high: Tensor, bins: int, pixels: int) -> tuple[Tensor, Tensor]:
    """Middles of the bins between (K,) and (K,): in grid_sample's units, (K, bins), and whether they are sampled."""
    width = (high - low).clamp(min=1)  # as torchvision does for boxes that are not `aligned`
    centres = low[:, None] + (torch.arange(bins, device=low.device) + 0.5) * (width / bins)[:, None]
    return centres * (2 / (pixels - 1)) - 1, (centres >= -1) & (centres <= pixels)
