"""Networks built by architecture name, their weights loaded, their head replaced, and digests of their weights.

A name is that of a torchvision classifier (`resnet50`), `timm:` and one of timm's (`timm:resnet50.a1_in1k`), or
`module:function` in a Python file of your own, see `feature_vis.networks.user_module`. Every network takes pictures,
(B, 3, H, W), normalised by ImageNet's mean and standard deviation. Networks of timm that expect another normalisation
convert their input.
"""

import argparse
import hashlib
import importlib
import logging
import math
import pickle
import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from feature_vis.errors import InputError, close_names
from feature_vis.files import atomic_path
from feature_vis.images.colors import IMAGENET_MEAN, IMAGENET_STD
from feature_vis.networks import user_module
from feature_vis.networks.state_dicts import fitted, mismatches
from feature_vis.networks.structure import call_order
from feature_vis.networks.torchvision_import import torchvision

__all__ = [
    "TIMM",
    "build",
    "cached_weights",
    "head_name",
    "load_file",
    "load_state",
    "replace_head",
    "save_file",
    "state_digest",
    "weights_digest",
]


log = logging.getLogger("featurediff")

TIMM = "timm:"  # the prefix of timm's networks


def build(name: str, classes: int | None = None, weights: str | None = None) -> nn.Module:
    """A classifier by name, in `eval` mode; the module's docstring says what a name may be.

    `classes`: outputs of the head, by default the architecture's own number. `weights`: torchvision's name
    (`IMAGENET1K_V2`), or `pretrained` for timm's; downloaded unless they are in the library's cache.

    Raises:
        InputError: unknown network or weights (with the close names), weights that cannot be downloaded, or an error in
            the user's own code.
    """
    if user_module.is_user_module(name):
        return _of_user(name, classes, weights)
    if name.startswith(TIMM):
        return _of_timm(name, classes, weights)
    return _of_torchvision(name, classes, weights)


def _of_torchvision(name: str, classes: int | None, weights: str | None, **options: Any) -> nn.Module:
    known = torchvision.models.list_models(module=torchvision.models)
    if name not in known:
        raise InputError(f"torchvision has no classifier called {name!r}{close_names(name, known)}")
    if weights is not None:
        options["weights"] = _weights_by_name(name, weights)
    elif name in ("googlenet", "inception_v3"):
        # their auxiliary heads serve only for training from scratch
        options |= {"aux_logits": False, "init_weights": True}
    if classes is not None and weights is None:
        options["num_classes"] = classes
    try:
        return torchvision.models.get_model(name, **options).eval()
    except OSError as error:
        file = _weights_file(options["weights"]) if weights else Path("its weights")
        raise InputError(
            f"{weights} of {name} could not be downloaded ({error}). On a machine without internet, put the file "
            f"{file.name} into {file.parent}, or give the path of a state dict"
        ) from None
    except (RuntimeError, EOFError, pickle.UnpicklingError) as error:
        if weights is None:
            raise
        reason = str(error).partition("\n")[0] or type(error).__name__
        file = _weights_file(options["weights"])
        raise InputError(f"{file} is not {weights} of {name} as it was published ({reason}): delete the file") from None


def _of_timm(name: str, classes: int | None, weights: str | None) -> nn.Module:
    timm, full_name = _timm_with(name, weights), name.removeprefix(TIMM)
    options = {} if classes is None else {"num_classes": classes}
    try:
        model = timm.create_model(full_name, pretrained=weights is not None, **options)
    except OSError as error:
        source = timm.get_pretrained_cfg(full_name).hf_hub_id or full_name
        raise InputError(
            f"the weights of {name} could not be downloaded ({str(error).splitlines()[0]}). On a machine without "
            f"internet, copy the file model.safetensors of {source} from the hub to it, and give the file's path"
        ) from None
    _convert_normalisation(model, model.pretrained_cfg["mean"], model.pretrained_cfg["std"])
    return model.eval()


def _timm_with(name: str, weights: str | None) -> Any:
    """The module timm, after checking that it has the network and the weights."""
    try:
        timm = importlib.import_module("timm")
    except ImportError:
        raise InputError(f"{name} needs timm, which is not installed: pip install 'featurediff[timm]'") from None
    full_name = name.removeprefix(TIMM)
    architecture, _, tag = full_name.partition(".")
    if not timm.is_model(architecture):
        raise InputError(f"timm has no network called {architecture!r}{close_names(architecture, timm.list_models())}")
    if weights not in (None, "pretrained"):
        raise InputError(
            f"timm has no weights {weights!r}: write `pretrained` for those of {full_name}, or the path of a file"
        )
    tags = [known.partition(".")[2] for known in timm.list_pretrained(f"{architecture}.*")]
    if (tag and tag not in tags) or (weights and not tags):
        known = f"it has {', '.join(tags)}" if tags else "it has none: give the path of a weights file"
        raise InputError(f"timm has no weights {tag!r} of {architecture}: {known}")
    return timm


def _of_user(name: str, classes: int | None, weights: str | None) -> nn.Module:
    if weights is not None:
        raise InputError(_no_weights_names(name, weights))
    model = user_module.call(name)
    if not isinstance(model, nn.Module):
        raise InputError(f"{name} returns a {type(model).__name__}, not a torch.nn.Module")
    if classes is not None:
        replace_head(model, classes, seed=0)
    model.definition = user_module.source_digest(name)  # type: ignore[assignment]
    return model.eval()


def _no_weights_names(name: str, weights: str) -> str:
    return f"{name} has no weights called {weights!r}: give the path of a weights file"


def _convert_normalisation(model: nn.Module, mean: Sequence[float], std: Sequence[float]) -> None:
    """Make a network that expects `mean` and `std` take pictures that are normalised by ImageNet's."""
    if tuple(mean) == IMAGENET_MEAN and tuple(std) == IMAGENET_STD:
        return

    def convert(_module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        pictures = inputs[0]  # (B, 3, H, W)
        given_mean, given_std, own_mean, own_std = (
            pictures.new_tensor(values).view(-1, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD, mean, std)
        )
        return ((pictures * given_std + given_mean - own_mean) / own_std, *inputs[1:])

    model.register_forward_pre_hook(convert)
    model.definition = f"mean {list(mean)} std {list(std)}"  # type: ignore[assignment]


def cached_weights(name: str, weights: str) -> Path | None:
    """Where torchvision keeps, or will keep, the file of these weights; None for timm's.

    Raises:
        InputError: unknown network or weights.
    """
    if user_module.is_user_module(name):
        raise InputError(_no_weights_names(name, weights))
    if name.startswith(TIMM):
        _timm_with(name, weights)
        return None
    if name not in torchvision.models.list_models(module=torchvision.models):
        build(name)  # raises, with the close names
    return _weights_file(_weights_by_name(name, weights))


def _weights_file(entry: Any) -> Path:
    return Path(torch.hub.get_dir()) / "checkpoints" / Path(entry.url).name


def _weights_by_name(name: str, weights: str) -> Any:
    entries = {entry.name: entry for entry in torchvision.models.get_model_weights(name)}
    if weights not in entries:
        raise InputError(f"{name} has no weights called {weights!r}: torchvision has {', '.join(entries)}")
    return entries[weights]


def load_file(path: str | Path) -> dict[str, Any]:
    """Read a file of tensors and plain values, by torch (`weights_only=True`, so that no code runs) or by safetensors.

    Raises:
        InputError: a file that is missing, broken, or holds code or anything but a mapping.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"the weights file {path} does not exist")
    read = _read_safetensors if path.suffix == ".safetensors" else _read_pickled
    try:
        loaded = read(path)
    except (InputError, MemoryError):
        raise
    except Exception as error:  # torch raises many kinds of errors for a broken or unsafe file
        raise InputError(
            f"{path} {_read_error(error)}: it must be a whole state dict saved by torch.save, without code"
            f"{_unsafe_content(path)}"
        ) from None
    if not isinstance(loaded, dict):
        raise InputError(f"{path} holds a {type(loaded).__name__}, not a state dict")
    return loaded


def _read_pickled(path: Path) -> Any:
    # timm and others store their command-line arguments beside the weights: names and values, no code
    with torch.serialization.safe_globals([argparse.Namespace]), warnings.catch_warnings(action="ignore"):
        return torch.load(path, map_location="cpu", weights_only=True)


def _read_safetensors(path: Path) -> dict[str, Any]:
    try:
        safetensors = importlib.import_module("safetensors.torch")
    except ImportError:
        raise InputError(f"{path} needs safetensors, which is not installed: pip install 'featurediff[timm]'") from None
    return safetensors.load_file(path)


def _read_error(error: Exception) -> str:
    """Why a file cannot be read, without torch's own text about code in a file, which explains how to run it."""
    text = str(error).strip()
    if code := re.search(r"GLOBAL ([\w.]+)", text):
        return f"is refused because reading it would run code ({code[1]})"
    if "weights_only" in text:
        return "cannot be read as weights (it holds more than tensors and plain values)"
    return f"cannot be read as weights ({text.splitlines()[0] if text else type(error).__name__})"


def _unsafe_content(path: Path) -> str:
    """What a file holds besides weights, and how to remove it; empty if it is no file of torch."""
    try:
        names = torch.serialization.get_unsafe_globals_in_checkpoint(str(path))
    except Exception:  # a broken file, which `_read_error` has reported
        return ""
    if not names:
        return ""
    return (
        f". It holds {', '.join(sorted(names))}: if you trust its source, load it with "
        "torch.load(…, weights_only=False) and save only its state dict"
    )


def save_file(path: str | Path, content: dict[str, Any]) -> None:
    """Write tensors and plain values, whole or not at all; equal content gives equal bytes."""
    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        try:
            torch.save(content, stream)  # to a stream: given a path, torch would store the temporary name in the file
        except RuntimeError as error:
            if isinstance(error.__context__, OSError):  # torch's own error does not say that the disk is full
                raise error.__context__ from None
            raise


def load_state(name: str, state: dict[str, Any], source: str | Path, *, headless: bool = False) -> nn.Module:
    """The network `name` with exactly these weights; the head gets as many classes as the state dict has.

    `feature_vis.networks.state_dicts` says in which forms names and values may come. `headless`: the head's weights may
    be missing and are then zeros, for callers that read what enters the head. Weights of self-supervised networks, such
    as DINO's, have no head.

    Raises:
        InputError: all keys and shapes that do not fit.
    """
    model = build(name)
    try:
        state, notes = fitted(state, model.state_dict())
    except InputError as error:
        raise InputError(f"the weights in {source} cannot be used: {error}") from None
    for note in notes:
        log.info("%s: %s", source, note)
    if name.startswith("vit_") and (size := _image_size(state)) not in (None, model.image_size):
        model = _of_torchvision(name, None, None, image_size=size)
    head = head_name(model)
    expected, weight = model.state_dict(), f"{head}.weight"
    rows = state.get(weight)
    # a tensor that is not contiguous may claim more rows than the file holds
    whole = isinstance(rows, Tensor) and rows.dim() > 0 and rows.is_contiguous()
    if isinstance(rows, Tensor) and whole and rows.shape[:1] != expected[weight].shape[:1]:
        model = replace_head(model, rows.shape[0], seed=0)
        expected = model.state_dict()
    if headless:
        state = {key: torch.zeros_like(value) for key, value in expected.items() if key.startswith(f"{head}.")} | state
    if problems := mismatches(state, expected):
        shown = "".join(f"\n  {problem}" for problem in problems[:20])
        more = f"\n  and {len(problems) - 20} more" if len(problems) > 20 else ""
        changed = "".join(f"\n  ({note})" for note in notes)
        raise InputError(f"the weights in {source} do not fit {name}:{shown}{more}{changed}")
    model.load_state_dict(state)
    return model.eval()


def _image_size(state: dict[str, Any]) -> int | None:
    """The size in pixels of the pictures that torchvision's ViT with these weights takes."""
    positions, patches = state.get("encoder.pos_embedding"), state.get("conv_proj.weight")
    if not (isinstance(positions, Tensor) and isinstance(patches, Tensor)):
        return None
    if (positions.dim(), patches.dim()) != (3, 4):
        return None
    return math.isqrt(max(positions.shape[1] - 1, 0)) * patches.shape[-1]


def head_name(model: nn.Module) -> str:
    """The dotted name of the classifier's last linear (or convolution) layer."""
    modules = dict(model.named_modules())
    weighted = [name for name in call_order(model) if isinstance(modules[name], nn.Linear | nn.Conv2d)]
    if not weighted:
        raise InputError(f"{type(model).__name__} has no linear or convolution layer that could be its head")
    return weighted[-1]


def replace_head(model: nn.Module, classes: int, seed: int) -> nn.Module:
    """Give the network a new head with `classes` outputs, drawn from `seed`; changes and returns `model`."""
    name = head_name(model)
    parent = model.get_submodule(name.rpartition(".")[0])
    old = model.get_submodule(name)
    # torch's initialisation draws from the global generator, so its state is restored afterwards
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        new: nn.Module
        if isinstance(old, nn.Linear):
            new = nn.Linear(old.in_features, classes, bias=old.bias is not None)
        else:
            assert isinstance(old, nn.Conv2d)
            new = nn.Conv2d(old.in_channels, classes, kernel_size=1, bias=old.bias is not None)
    setattr(parent, name.rpartition(".")[2], new)
    return model


def weights_digest(model: nn.Module, layer: str) -> str:
    """SHA-256, 64 hex digits, of every weight and statistic that the layer's activation depends on.

    These are the parameters and buffers of the modules that are entered until the layer is left. Batch norm's counter
    of batches is left out, because nothing depends on it. The source of a user's own network counts as well.
    """
    state: dict[str, Tensor] = {}
    for owner in call_order(model, until=layer):
        module = model.get_submodule(owner)
        for name, tensor in [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]:
            if name != "num_batches_tracked":
                state[f"{owner}.{name}"] = tensor
    definition = getattr(model, "definition", "")  # set by `build`
    digest = state_digest(state)
    return hashlib.sha256(f"{digest} {definition}".encode()).hexdigest() if definition else digest


def state_digest(state: dict[str, Tensor]) -> str:
    """SHA-256, 64 hex digits, of a state dict: names, types, shapes and values."""
    digest = hashlib.sha256()
    for name, tensor in sorted(state.items()):
        tensor = tensor.detach().cpu().contiguous()
        # NumPy has no bfloat16, so its bits are digested
        array = (tensor.view(torch.int16) if tensor.dtype == torch.bfloat16 else tensor).numpy()
        digest.update(f"{name} {array.dtype} {array.shape}\n".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
