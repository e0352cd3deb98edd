"""How many channels stay grey at the original's size, with either objective; a sheet of each."""

import grey_channels
from sheets import write_sheet

from feature_vis.recipe import Recipe
from gpu_sections.results import Report
from gpu_sections.setting import Setting, end_blocks


def run(setting: Setting, report: Report) -> None:
    model = setting.network()
    layers = end_blocks(model)
    recipe = Recipe(size=setting.size(400), steps=setting.number(96, 2), transforms="paper")
    channels = setting.number(256, 2 * len(layers))
    report.add(
        f"{recipe.size} px, {recipe.steps} steps, transforms {recipe.transforms}, {channels} channels drawn.", ""
    )
    found: dict[str, grey_channels.Both] = {}
    for layer, both in grey_channels.compare(model, layers, channels, recipe, setting.torch_device()):
        found[layer] = both
        print(f"{layer}: {both.seconds[0]:.1f} and {both.seconds[1]:.1f} s", flush=True)
        report.last(grey_channels.table(found))
        for name in ("before", "after"):
            pictures = [result.picture for one in found.values() for result in getattr(one, name)]
            write_sheet(setting.out / f"grey_{name}_relu.jpg", pictures, side=128)
    report.keep()
