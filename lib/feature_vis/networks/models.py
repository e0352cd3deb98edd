"""Networks: built by name, loaded strictly, given a new head, and told apart by their weights.

A name is that of a torchvision classifier (`resnet50`), `timm:` with one of timm's (`timm:resnet50.a1_in1k`), or
`module:function` of a file of the user's own, see `feature_vis.networks.user_module`. Every network takes pictures,
(B, 3, H, W), that are normalised by ImageNet's mean and standard deviation; timm's that want others are made to.
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

TIMM = "timm:"  # before the name of a network of timm's


def build(name: str, classes: int | None = None, weights: str | None = None) -> nn.Module:
    """A classifier by name, in `eval` mode; the module's docstring says what a name may be.

    `classes`: outputs of the head (the network's own where None). `weights`: torchvision's name (`IMAGENET1K_V2`), or
    `pretrained` for timm's; fetched where the library's cache has no copy.

    Raises:
        InputError: unknown network or weights (the close names are said), weights that cannot be fetched, or an error
            in the user's own code.
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
        # their auxiliary heads exist for training from scratch only
        options |= {"aux_logits": False, "init_weights": True}
    if classes is not None and weights is None:
        options["num_classes"] = classes
    try:
        return torchvision.models.get_model(name, **options).eval()
    except OSError as error:
        file = _weights_file(options["weights"]) if weights else Path("its weights")
        raise InputError(
            f"{weights} of {name} could not be fetched ({error}). On a machine without network, put the file "
            f"{file.name} into {file.parent}, or name a state dict by its path"
        ) from None
    except (RuntimeError, EOFError, pickle.UnpicklingError) as error:
        if weights is None:
            raise
        reason = str(error).partition("\n")[0] or type(error).__name__
        file = _weights_file(options["weights"])
        raise InputError(f"{file} is not {weights} of {name} as it was published ({reason}): delete the file") from None


def _of_timm(name: str, classes: int | None, weights: str | None) -> nn.Module:
    timm, wanted = _timm_with(name, weights), name.removeprefix(TIMM)
    options = {} if classes is None else {"num_classes": classes}
    try:
        model = timm.create_model(wanted, pretrained=weights is not None, **options)
    except OSError as error:
        source = timm.get_pretrained_cfg(wanted).hf_hub_id or wanted
        raise InputError(
            f"the weights of {name} could not be fetched ({str(error).splitlines()[0]}). On a machine without network, "
            f"bring the file model.safetensors of {source} from the hub, and name it by its path"
        ) from None
    _take_imagenets_colors(model, model.pretrained_cfg["mean"], model.pretrained_cfg["std"])
    return model.eval()


def _timm_with(name: str, weights: str | None) -> Any:
    """timm, once it is sure to have the network, and the weights that it is asked for."""
    try:
        timm = importlib.import_module("timm")
    except ImportError:
        raise InputError(f"{name} needs timm, which is not installed: pip install 'featurediff[timm]'") from None
    wanted = name.removeprefix(TIMM)
    architecture, _, tag = wanted.partition(".")
    if not timm.is_model(architecture):
        raise InputError(f"timm has no network called {architecture!r}{close_names(architecture, timm.list_models())}")
    if weights not in (None, "pretrained"):
        raise InputError(
            f"timm has no weights {weights!r}: `pretrained` fetches those of {wanted}, a path names a file"
        )
    tags = [known.partition(".")[2] for known in timm.list_pretrained(f"{architecture}.*")]
    if (tag and tag not in tags) or (weights and not tags):
        there = f"it has {', '.join(tags)}" if tags else "it has none: name a file of weights by its path"
        raise InputError(f"timm has no weights {tag!r} of {architecture}: {there}")
    return timm


def _of_user(name: str, classes: int | None, weights: str | None) -> nn.Module:
    if weights is not None:
        raise InputError(_no_names(name, weights))
    model = user_module.call(name)
    if not isinstance(model, nn.Module):
        raise InputError(f"{name} gives a {type(model).__name__}, not a torch.nn.Module")
    if classes is not None:
        replace_head(model, classes, seed=0)
    model.definition = user_module.source_digest(name)  # type: ignore[assignment]
    return model.eval()


def _no_names(name: str, weights: str) -> str:
    return f"{name} has no weights called {weights!r}: name a file of weights by its path"


def _take_imagenets_colors(model: nn.Module, mean: Sequence[float], std: Sequence[float]) -> None:
    """Let a network that was trained on pictures normalised otherwise take them as all are normalised here."""
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
    """Where torchvision keeps, or will keep, the file of its weights of that name; None where they are timm's.

    Raises:
        InputError: a network, or weights of it, that there are not.
    """
    if user_module.is_user_module(name):
        raise InputError(_no_names(name, weights))
    if name.startswith(TIMM):
        _timm_with(name, weights)
        return None
    if name not in torchvision.models.list_models(module=torchvision.models):
        build(name)  # says so, with close names
    return _weights_file(_weights_by_name(name, weights))


def _weights_file(entry: Any) -> Path:
    return Path(torch.hub.get_dir()) / "checkpoints" / Path(entry.url).name


def _weights_by_name(name: str, weights: str) -> Any:
    entries = {entry.name: entry for entry in torchvision.models.get_model_weights(name)}
    if weights not in entries:
        raise InputError(f"{name} has no weights called {weights!r}: torchvision has {', '.join(entries)}")
    return entries[weights]


def load_file(path: str | Path) -> dict[str, Any]:
    """Read a file of tensors and plain values (`weights_only=True`: no code in it is run), or one of safetensors."""
    path = Path(path)
    if not path.is_file():
        raise InputError(f"there is no weights file {path}")
    read = _read_safetensors if path.suffix == ".safetensors" else _read_pickled
    try:
        loaded = read(path)
    except (InputError, MemoryError):
        raise
    except Exception as error:  # torch raises many kinds for a broken or unsafe file
        raise InputError(
            f"{path} {_why_not(error)}: it must be a state dict saved by torch.save, whole and without code in it"
            f"{_unsafe(path)}"
        ) from None
    if not isinstance(loaded, dict):
        raise InputError(f"{path} holds a {type(loaded).__name__}, not a state dict")
    return loaded


def _read_pickled(path: Path) -> Any:
    # timm and others keep their command line's arguments beside the weights: names and values, no code
    with torch.serialization.safe_globals([argparse.Namespace]), warnings.catch_warnings(action="ignore"):
        return torch.load(path, map_location="cpu", weights_only=True)


def _read_safetensors(path: Path) -> dict[str, Any]:
    try:
        safetensors = importlib.import_module("safetensors.torch")
    except ImportError:
        raise InputError(f"{path} needs safetensors, which is not installed: pip install 'featurediff[timm]'") from None
    return safetensors.load_file(path)


def _why_not(error: Exception) -> str:
    """Without torch's own words of a file with code in it, which say how to run the code."""
    text = str(error).strip()
    if code := re.search(r"GLOBAL ([\w.]+)", text):
        return f"is refused, to read it would run code ({code[1]})"
    if "weights_only" in text:
        return "cannot be read as weights (it holds something else than tensors and plain values)"
    return f"cannot be read as weights ({text.splitlines()[0] if text else type(error).__name__})"


def _unsafe(path: Path) -> str:
    """What beside weights a file holds, and how to leave it out; nothing where it is no file of torch at all."""
    try:
        names = torch.serialization.get_unsafe_globals_in_checkpoint(str(path))
    except Exception:  # a broken file: that was said already
        return ""
    if not names:
        return ""
    return (
        f". It holds {', '.join(sorted(names))}: if you trust where it comes from, load it yourself by "
        "torch.load(…, weights_only=False) and save its state dict alone"
    )


def save_file(path: str | Path, content: dict[str, Any]) -> None:
    """Write tensors and plain values, whole or not at all; equal content gives equal bytes."""
    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        try:
            torch.save(content, stream)  # into a stream: into a path, torch would write the temporary name down
        except RuntimeError as error:
            if isinstance(error.__context__, OSError):  # torch's own words do not say that the disk is full
                raise error.__context__ from None
            raise


def load_state(name: str, state: dict[str, Any], source: str | Path, *, headless: bool = False) -> nn.Module:
    """The network `name` with exactly these weights; the head's size follows the state dict.

    Names and values may be as others write them, see `feature_vis.networks.state_dicts`. `headless`: the head's
    weights may be missing and are zeros then, for who reads what enters the head. The weights of self-supervised
    networks, such as DINO's, come without.

    Raises:
        InputError: keys or shapes that do not fit, each named.
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
    # one that is not contiguous may claim more rows than the file holds
    whole = isinstance(rows, Tensor) and rows.dim() > 0 and rows.is_contiguous()
    if isinstance(rows, Tensor) and whole and rows.shape[:1] != expected[weight].shape[:1]:
        model = replace_head(model, rows.shape[0], seed=0)
        expected = model.state_dict()
    if headless:
        state = {key: torch.zeros_like(value) for key, value in expected.items() if key.startswith(f"{head}.")} | state
    if problems := mismatches(state, expected):
        shown = "".join(f"\n  {problem}" for problem in problems[:20])
        more = f"\n  and {len(problems) - 20} more" if len(problems) > 20 else ""
        done = "".join(f"\n  ({note})" for note in notes)
        raise InputError(f"the weights in {source} do not fit {name}:{shown}{more}{done}")
    model.load_state_dict(state)
    return model.eval()


def _image_size(state: dict[str, Any]) -> int | None:
    """Pixels of the pictures that torchvision's ViT with these weights takes."""
    places, patches = state.get("encoder.pos_embedding"), state.get("conv_proj.weight")
    if not (isinstance(places, Tensor) and isinstance(patches, Tensor) and places.dim() == 3 and patches.dim() == 4):
        return None
    return math.isqrt(max(places.shape[1] - 1, 0)) * patches.shape[-1]


def head_name(model: nn.Module) -> str:
    """The dotted name of the classifier's last linear (or convolution) layer."""
    modules = dict(model.named_modules())
    weighted = [name for name in call_order(model) if isinstance(modules[name], nn.Linear | nn.Conv2d)]
    if not weighted:
        raise InputError(f"{type(model).__name__} has no linear or convolution layer to take as its head")
    return weighted[-1]


def replace_head(model: nn.Module, classes: int, seed: int) -> nn.Module:
    """Give the network a new head of `classes` outputs, drawn from `seed` alone; changes and returns `model`."""
    name = head_name(model)
    parent = model.get_submodule(name.rpartition(".")[0])
    old = model.get_submodule(name)
    # torch's own initialisation draws from the global generator: use a private state of it
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

    These are the parameters and buffers of the modules entered until the layer is left; batch norm's counter
    of batches is left out, it decides nothing. Where the network is the user's own, its source counts as well.
    """
    state: dict[str, Tensor] = {}
    for owner in call_order(model, until=layer):
        module = model.get_submodule(owner)
        for name, tensor in [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]:
            if name != "num_batches_tracked":
                state[f"{owner}.{name}"] = tensor
    definition = getattr(model, "definition", "")  # `build` notes it
    digest = state_digest(state)
    return hashlib.sha256(f"{digest} {definition}".encode()).hexdigest() if definition else digest


def state_digest(state: dict[str, Tensor]) -> str:
    """SHA-256, 64 hex digits, of a state dict: names, types, shapes and values."""
    digest = hashlib.sha256()
    for name, tensor in sorted(state.items()):
        tensor = tensor.detach().cpu().contiguous()
        # NumPy has no bfloat16: its bits are as good
        array = (tensor.view(torch.int16) if tensor.dtype == torch.bfloat16 else tensor).numpy()
        digest.update(f"{name} {array.dtype} {array.shape}\n".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
