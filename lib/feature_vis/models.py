"""Networks: built by name, loaded strictly, and read at one layer.

Why the objective reads what *enters* the last ReLU: at the noise a picture starts from, many units of deep
layers are off at every position. A ReLU passes no gradient where it is off, so the picture of such a unit
never moves and stays grey (lucid #68, lucent #9, captum #521). Before the ReLU the same unit has a slope
everywhere. In a residual block this is the sum of branch and shortcut.
"""

import copy
import difflib
import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from feature_vis.errors import InputError
from feature_vis.vision import torchvision

__all__ = [
    "activation_at",
    "build",
    "call_order",
    "channel_counts",
    "head_name",
    "load_file",
    "load_state",
    "replace_head",
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
        raise InputError(f"torchvision has no classifier called {name!r}{_close_names(name, known)}")
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
        file = Path(options["weights"].url).name if weights else "its weights"
        raise InputError(
            f"{weights} of {name} could not be fetched ({error}). On a machine without network, put the file {file} "
            f"into {Path(torch.hub.get_dir()) / 'checkpoints'}, or name a state dict by its path"
        ) from None


def _weights_by_name(name: str, weights: str) -> Any:
    entries = {entry.name: entry for entry in torchvision.models.get_model_weights(name)}
    if weights not in entries:
        raise InputError(f"{name} has no weights called {weights!r}: torchvision has {', '.join(entries)}")
    return entries[weights]


def _close_names(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=5, cutoff=0.5)
    return f"; close names: {', '.join(close)}" if close else ""


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


def load_state(name: str, state: dict[str, Tensor], source: str | Path) -> nn.Module:
    """The network `name` with exactly these weights; the head's size follows the state dict.

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


def _on_meta(model: nn.Module) -> nn.Module:
    """A copy without storage, on which shapes and calls can be followed at no cost."""
    return copy.deepcopy(model).to("meta").eval()


def call_order(model: nn.Module, until: str | None = None, size: int = 224) -> list[str]:
    """Names of the modules in the order in which a forward pass first enters them; the root is `""`.

    With `until`, the pass ends when that module has been left.
    """
    shadow = _on_meta(model)
    order: list[str] = []
    for name, module in shadow.named_modules():
        module.register_forward_pre_hook(lambda _m, _i, name=name: order.append(name))
    if until is None:
        shadow(torch.empty(2, 3, size, size, device="meta"))
    else:
        with activation_at(shadow, until) as activation:
            activation(torch.empty(2, 3, size, size, device="meta"))
    return list(dict.fromkeys(order))


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


def channel_counts(model: nn.Module, layers: list[str], size: int) -> dict[str, int]:
    """How many channels each layer puts out for a picture of `size` pixels.

    Raises:
        InputError: layers that do not exist, with the close names, or a picture too small for one: all at once.
    """
    counts, problems = {}, []
    known = [name for name, _ in model.named_modules() if name]
    shadow = _on_meta(model)
    for layer in layers:
        if layer not in known:
            problems.append(f"there is no layer {layer!r}{_close_names(layer, known)}")
            continue
        try:
            with activation_at(shadow, layer) as activation, torch.no_grad():
                counts[layer] = activation(torch.empty(1, 3, size, size, device="meta")).shape[1]
        except (RuntimeError, ValueError) as error:
            problems.append(f"{layer}: a picture of {size} px is too small for it ({str(error).splitlines()[0]})")
    if problems:
        raise InputError("\n".join(problems))
    return counts


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
        array = tensor.detach().cpu().contiguous().numpy()
        digest.update(f"{name} {array.dtype} {array.shape}\n".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


class _LayerReached(Exception):
    """Ends a forward pass at the target: nothing above it runs."""


class _LastRelu(TorchFunctionMode):
    """While `listening`, remembers what entered the last ReLU and what left it, module or function alike."""

    _RELUS = frozenset(
        [F.relu, F.relu_, torch.relu, torch.relu_, Tensor.relu, Tensor.relu_, F.relu6, F.hardtanh, F.hardtanh_]
    )

    def __init__(self) -> None:
        super().__init__()
        self.listening = False
        self.entered: Tensor | None = None
        self.left: Tensor | None = None

    def __torch_function__(
        self, func: Callable, types: Any, args: tuple = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if not self.listening or func not in self._RELUS:
            return func(*args, **kwargs)
        before = args[0] if args else kwargs["input"]
        # an in-place ReLU overwrites what entered it: keep a copy, which carries the gradient on
        self.entered = before.clone()
        self.left = func(*args, **kwargs)
        return self.left


@contextmanager
def activation_at(
    model: nn.Module,
    layer: str,
    *,
    before_relu: bool = False,
    hook: Callable[[nn.Module, Any, Any], Tensor] | None = None,
) -> Iterator[Callable[[Tensor], Tensor]]:
    """Yield a function from a batch, (B, C, H, W), to the activation of `layer`, (B, K, …).

    `layer` is a dotted module name; `""` is the network's own output. Nothing above the layer runs. With
    `before_relu` the activation is what entered the last ReLU within the layer, where the layer's output is
    that ReLU's; elsewhere the output itself. `hook(module, inputs, output)` may make the activation from a
    module's output that is not a tensor. The hooks are gone afterwards, whatever happens.

    Raises:
        InputError: no such layer (the close names are said), or one that a forward pass does not enter.
    """
    known = dict(model.named_modules())
    if layer not in known:
        raise InputError(f"there is no layer {layer!r}{_close_names(layer, list(known))}")
    reached: list[Tensor] = []
    relu = _LastRelu()

    def enter(_module: nn.Module, _inputs: Any) -> None:
        relu.listening, relu.entered, relu.left = before_relu, None, None

    def leave(module: nn.Module, inputs: Any, output: Any) -> None:
        relu.listening = False
        if hook is not None:
            output = hook(module, inputs, output)
        reached.append(relu.entered if relu.entered is not None and output is relu.left else output)
        raise _LayerReached

    def activation(batch: Tensor) -> Tensor:
        reached.clear()
        try:
            with relu:
                model(batch)
        except _LayerReached:
            return reached[0]
        raise InputError(f"the forward pass of {type(model).__name__} never enters {layer!r}")

    handles = [known[layer].register_forward_pre_hook(enter), known[layer].register_forward_hook(leave)]
    try:
        yield activation
    finally:
        for handle in handles:
            handle.remove()
