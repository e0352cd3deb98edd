"""Networks: built by name, loaded strictly, given a new head, and told apart by their weights."""

import hashlib
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from feature_vis.activations import call_order
from feature_vis.errors import InputError, close_names
from feature_vis.files import atomic_path
from feature_vis.vision import torchvision

__all__ = [
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


def build(name: str, classes: int | None = None, weights: str | None = None) -> nn.Module:
    """A torchvision classifier by name, in `eval` mode.

    `classes`: outputs of the head (torchvision's 1000 where None). `weights`: torchvision's name
    (`IMAGENET1K_V2`), downloaded by torchvision where its cache has no copy.

    Raises:
        InputError: unknown network or weights (the close names are said), or weights that cannot be fetched.
    """
    known = torchvision.models.list_models(module=torchvision.models)
    if name not in known:
        raise InputError(f"torchvision has no classifier called {name!r}{close_names(name, known)}")
    options: dict[str, Any] = {}
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
        file = cached_weights(name, weights) if weights else Path("its weights")
        raise InputError(
            f"{weights} of {name} could not be fetched ({error}). On a machine without network, put the file "
            f"{file.name} into {file.parent}, or name a state dict by its path"
        ) from None


def cached_weights(name: str, weights: str) -> Path:
    """Where torchvision keeps, or will keep, the file of its weights of that name.

    Raises:
        InputError: a network, or weights of it, that torchvision does not have.
    """
    if name not in torchvision.models.list_models(module=torchvision.models):
        build(name)  # says so, with close names
    return Path(torch.hub.get_dir()) / "checkpoints" / Path(_weights_by_name(name, weights).url).name


def _weights_by_name(name: str, weights: str) -> Any:
    entries = {entry.name: entry for entry in torchvision.models.get_model_weights(name)}
    if weights not in entries:
        raise InputError(f"{name} has no weights called {weights!r}: torchvision has {', '.join(entries)}")
    return entries[weights]


def load_file(path: str | Path) -> dict[str, Any]:
    """Read a file of tensors and plain values (`weights_only=True`: no code in it is run)."""
    path = Path(path)
    if not path.is_file():
        raise InputError(f"there is no weights file {path}")
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds for a broken or unsafe file
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise InputError(
            f"{path} cannot be read as weights ({reason}): it must be a state dict saved by torch.save, whole "
            "and without code in it"
        ) from None
    if not isinstance(loaded, dict):
        raise InputError(f"{path} holds a {type(loaded).__name__}, not a state dict")
    return loaded


def save_file(path: str | Path, content: dict[str, Any]) -> None:
    """Write tensors and plain values, whole or not at all; equal content gives equal bytes."""
    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        try:
            torch.save(content, stream)  # into a stream: into a path, torch would write the temporary name down
        except RuntimeError as error:
            if isinstance(error.__context__, OSError):  # torch's own words do not say that the disk is full
                raise error.__context__ from None
            raise


def load_state(name: str, state: dict[str, Tensor], source: str | Path, *, headless: bool = False) -> nn.Module:
    """The network `name` with exactly these weights; the head's size follows the state dict.

    `headless`: the head's weights may be missing and are zeros then, for who reads what enters the head. The weights of
    self-supervised networks, such as DINO's, come without.

    Raises:
        InputError: keys or shapes that do not fit, each named.
    """
    state = {key: value for key, value in state.items() if not key.lower().startswith("aux")}
    model = build(name)
    head = head_name(model)
    rows = state.get(f"{head}.weight")
    if rows is not None:
        model = replace_head(model, rows.shape[0], seed=0)
    expected = model.state_dict()
    if headless:
        state = {key: torch.zeros_like(value) for key, value in expected.items() if key.startswith(f"{head}.")} | state
    problems = [f"  missing: {key}" for key in expected if key not in state]
    problems += [f"  unexpected: {key}" for key in state if key not in expected]
    problems += [
        f"  {key}: {tuple(state[key].shape)} in the file, {tuple(value.shape)} in the network"
        for key, value in expected.items()
        if key in state and state[key].shape != value.shape
    ]
    if problems:
        shown = "\n".join(problems[:20]) + (f"\n  and {len(problems) - 20} more" if len(problems) > 20 else "")
        raise InputError(f"the weights in {source} do not fit {name}:\n{shown}")
    model.load_state_dict(state)
    return model.eval()


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
    of batches is left out, it decides nothing.
    """
    state: dict[str, Tensor] = {}
    for owner in call_order(model, until=layer):
        module = model.get_submodule(owner)
        for name, tensor in [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]:
            if name != "num_batches_tracked":
                state[f"{owner}.{name}"] = tensor
    return state_digest(state)


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
