"""What the arguments of commands are: how they are read, and what tab completion offers for them."""

from typing import Any

import click

from feature_vis.errors import InputError
from featurediff.cli.results import ChannelId, Results, parse_channel_id

__all__ = ["DIFFERENCE", "ShownType", "complete_channel", "complete_layer", "complete_network"]

DIFFERENCE = "difference"  # what `show` shows instead of a channel


class ShownType(click.ParamType):
    name = "layer:channel or difference"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> ChannelId | str:
        try:
            return value if isinstance(value, ChannelId) or value == DIFFERENCE else parse_channel_id(value)
        except InputError as error:
            self.fail(str(error), param, ctx)


def complete_network(ctx: click.Context, _param: click.Parameter, begun: str) -> list[str]:
    results = _begun_results(ctx)
    return [name for name in sorted({*results.networks, *results.tuned}) if name.startswith(begun)] if results else []


def complete_layer(ctx: click.Context, _param: click.Parameter, begun: str) -> list[str]:
    results = _begun_results(ctx)
    return [name for name in results.layers() if name.startswith(begun)] if results else []


def complete_channel(ctx: click.Context, param: click.Parameter, begun: str) -> list[str]:
    layers = [f"{layer}:" for layer in complete_layer(ctx, param, begun)]
    return [*layers, *([DIFFERENCE] if DIFFERENCE.startswith(begun) else [])]


def _begun_results(ctx: click.Context) -> Results | None:
    """The results folder of the command line that is being completed; None where there is none."""
    try:
        return Results(ctx.params.get("results") or "results")
    except InputError:
        return None
