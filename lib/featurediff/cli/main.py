"""The commands, their options and their help. Modules that are slow to import are imported inside the commands."""

import os
import shlex
import sys
from functools import partial
from pathlib import Path
from typing import Any

import click

from feature_vis.errors import InputError
from featurediff.cli.parameters import (
    ShownType,
    complete_channel,
    complete_layer,
    complete_network,
)
from featurediff.cli.results import ChannelId, Results

__all__ = ["main"]

_INTERRUPTED = 130  # what a shell makes of a program that Ctrl-C ended
_FOLDER = click.Path(path_type=Path)


class _Commands(click.Group):
    """A user's mistake ends a command with a message and code 1, Ctrl-C with code 130; neither shows a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except InputError as error:
            click.echo(str(error), err=True)
            ctx.exit(1)
        except (KeyboardInterrupt, click.Abort):
            click.echo("\nstopped", err=True)
            ctx.exit(_INTERRUPTED)
        except BrokenPipeError:  # `| head` has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            ctx.exit(0)


_results = click.option(
    "--results", default="results", show_default=True, type=_FOLDER, help="The workflow's results folder."
)


_workflow = click.option("--workflow", type=_FOLDER, help="Folder of another Snakefile than the package's.")

_model = click.option(
    "--model", required=True, help="resnet50 or another of torchvision's, timm:<name>, or module:function of a file."
)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="featurediff")
def main() -> None:
    """Which features of a CNN did fine-tuning change, how, and is the change real?

    \b
    Examples:
      featurediff init birds --root /data/birds     write birds/config.yaml
      featurediff check --directory birds           find mistakes before hours are spent
      featurediff run --directory birds             run the workflow
      featurediff top --network birds -n 20         list the most changed channels
      featurediff show layer4.2:1276                show one channel's pictures and numbers
      featurediff render --model resnet50 --weights IMAGENET1K_V2 --layer layer4.2 --channel 0-7
      featurediff diff base.pth tuned.pth --model resnet50 --probe photos   compare two checkpoints
      featurediff difference base.pth tuned.pth --model resnet50   show what both disagree about, in minutes

    \b
    Exit codes:
      0    done
      1    a problem was found, or what was asked for does not exist
      2    the command line cannot be understood
      130  stopped by Ctrl-C
    `run` and `diff` end with snakemake's exit code.

    \b
    Tab completion, in ~/.bashrc (zsh and fish likewise):
      eval "$(_FEATUREDIFF_COMPLETE=bash_source featurediff)"
    """


@main.command()
@click.argument("what", metavar="LAYER:CHANNEL|difference", type=ShownType(), shell_complete=complete_channel)
@click.option(
    "--network", "networks", multiple=True, shell_complete=complete_network, help="Show only this network; repeatable."
)
@_results
@click.option("--open", "open_it", is_flag=True, help="Open the picture in the desktop's viewer.")
def show(what: ChannelId | str, networks: tuple[str, ...], results: Path, open_it: bool) -> None:
    """Show a channel's pictures and numbers, or what networks disagree about.

    Prints the paths of the channel's pictures and every number that was measured, with noise floor, interval and
    meaning. What is missing is listed on the error stream. With `difference` instead of a channel: the pictures of what
    each network and the base disagree about, what both say of them, and what the pictures do to photographs.

    \b
    Examples:
      featurediff show layer4.2:1276
      featurediff show layer4.2:1276 --network dogs --open
      featurediff show difference --network dogs
    """
    from featurediff.cli.show import describe, describe_difference, difference_to_open, picture_to_open

    folder = Results(results)
    if isinstance(what, ChannelId):
        lines, missing = describe(folder, what, networks)
        to_open = partial(picture_to_open, folder, what, networks)
    else:
        lines, missing = describe_difference(folder, networks), []
        to_open = partial(difference_to_open, folder, networks)
    click.echo("\n".join(lines))
    if missing:
        click.echo("\n" + "\n".join(missing), err=True)
    if open_it:
        picture = to_open()
        if click.launch(str(picture)) != 0:
            raise InputError(f"no viewer could be started: open {picture} yourself")


@main.command()
@click.option(
    "--network",
    shell_complete=complete_network,
    help="Needed if several were compared with the base.",
)
@click.option("--layer", shell_complete=complete_layer, help="List only this layer.")
@click.option("-n", "--count", default=20, show_default=True, type=click.IntRange(min=1), help="How many to list.")
@click.option("--by", default="rank", show_default=True, metavar="COLUMN", help="Sort by this column of the ranking.")
@click.option("--csv", "as_table", is_flag=True, help="Print all columns as CSV.")
@_results
def top(network: str | None, layer: str | None, count: int, by: str, as_table: bool, results: Path) -> None:
    """List the most changed channels.

    \b
    Examples:
      featurediff top --network dogs --layer layer4.2 -n 20
      featurediff top --network dogs --by weight_change
      featurediff top --network dogs -n 100 --csv > dogs.csv
    """
    from featurediff.cli.top import as_csv, as_lines, choose_network, most_changed

    folder = Results(results)
    rows = most_changed(folder, choose_network(folder, network), layer=layer, by=by, count=count)
    if as_table:
        click.echo(as_csv(rows), nl=False)
    else:
        click.echo("\n".join(as_lines(rows, by)))


@main.command()
@_model
@click.option("--weights", required=True, help="A file of weights, or the library's name of some.")
@click.option("--layer", required=True, help="The layer's dotted module name. The head's channels are the classes.")
@click.option("--channel", required=True, help="A number, a range 0-15, several with commas, or all.")
@click.option("--size", type=int, help="Height and width in pixels.")
@click.option("--steps", type=int, help="Steps of the optimizer.")
@click.option("--seed", type=int, help="Seed of the starting noise and of the transforms.")
@click.option("--transforms", help="A set of transforms: small, paper, lucid, crops or none.")
@click.option("--parameterization", help="fourier, pixel or laplacian.")
@click.option("--mode", help="A named set of settings: default, or paper for the original experiment's.")
@click.option("--out", default="pictures", show_default=True, type=_FOLDER, help="Folder for the pictures.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:1.")
def render(model: str, weights: str, layer: str, channel: str, out: Path, device: str, **settings: Any) -> None:
    """Render channels of any network.

    No workflow is needed. Each PNG holds its recipe and the activation it reached. The same command again keeps the
    pictures that exist and makes the others, also after Ctrl-C. Settings that you leave out have `Recipe`'s defaults.

    \b
    Examples:
      featurediff render --model resnet50 --weights IMAGENET1K_V2 --layer layer4.2 --channel 1276
      featurediff render --model resnet18 --weights results/dogs/network.pth --layer fc --channel all --size 224
    """
    from featurediff.cli.render import choose_device, render_channels

    given = {name: value for name, value in settings.items() if value is not None}
    paths, made = render_channels(model, weights, layer, channel, given, out, choose_device(device))
    for path in paths:
        click.echo(path)
    click.echo(f"rendered {made}, reused {len(paths) - made}", err=True)


@main.command()
@click.argument("folder", default=".", type=_FOLDER)
@click.option("--root", help="The data set's folder.  [needed without a terminal]")
@click.option("--name", help="Name of the fine-tuned network.  [default: the data set's folder]")
@click.option(
    "--format", "format_", help="image_folder, kaggle_dogs, stanford_dogs, stanford_cars or csv.  [default: recognized]"
)
@click.option("--model", help="As for `featurediff render`.  [default: resnet50]")
@click.option("--weights", help="A library's name or a file of weights.  [default: the library's best]")
@click.option(
    "--layer",
    "layers",
    multiple=True,
    metavar="LAYER[=CHANNELS]",
    help="A layer to render, such as layer4.2=0-63; repeatable.",
)
@click.option("--train-from", help="First module that learns; all modules before it are frozen.")
@click.option("--epochs", type=int, help="Passes over the training pictures.  [default: 10]")
@click.option("--size", type=int, help="Height and width of the pictures, in pixels.  [default: 224]")
@click.option("--steps", type=int, help="Steps of the optimizer.  [default: 256]")
@click.option("--seeds", type=int, help="Pictures of every channel.  [default: 4]")
@click.option("--example", help="Write a config that comes with the workflow: demo, paper or paper-faithful.")
@click.option("--force", is_flag=True, help="Write over a config.yaml that exists.")
def init(folder: Path, force: bool, example: str | None, **answers: Any) -> None:
    """Write a config for your own data.

    Writes FOLDER/config.yaml, with a comment on every line that you may want to change. Asks for what no option says;
    without a terminal it takes the defaults.

    \b
    Examples:
      featurediff init birds
      featurediff init demo --example demo
      featurediff init birds --root /data/birds --model resnet18 --layer layer4.1=0-63 --epochs 5
    """
    from featurediff.cli.init import Answers, write_config, write_example

    file = folder / "config.yaml"
    if file.exists() and not force:
        raise InputError(f"{file} exists already: write over it with --force, or name another folder")
    if example is not None:
        write_example(file, example)
    else:
        given = {name.rstrip("_"): value for name, value in answers.items() if value not in (None, ())}
        ask = sys.stdin.isatty()
        if "root" not in given and not ask:
            raise click.UsageError("there is no terminal to ask on: give the data set's folder by --root")
        write_config(file, Answers(given, click.prompt if ask else None))
    directory = "" if folder == Path() else f" --directory {shlex.quote(str(folder))}"
    click.echo(f"{file} is written. Next:\n  featurediff check{directory}\n  featurediff run{directory}")


@main.command(context_settings={"ignore_unknown_options": True})
@click.argument("options", metavar="[SNAKEMAKE OPTIONS]...", nargs=-1, type=click.UNPROCESSED)
@click.option(
    "-d", "--directory", default=".", type=_FOLDER, help="Folder of config.yaml, which gets the results.  [default: .]"
)
@_workflow
def run(options: tuple[str, ...], directory: Path, workflow: Path | None) -> None:
    """Run the workflow.

    Makes what config.yaml asks for and does not exist yet. All other options, and targets, go to snakemake. Without
    --cores all cores are used.

    \b
    Examples:
      featurediff run -n                                 list what would be done
      featurediff run --directory birds --cores 8        run on 8 cores
      featurediff run --workflow-profile slurm           run through Slurm
      featurediff run --configfile other.yaml pictures   take another config; make the pictures only
      featurediff run --report report.html               write Snakemake's own report
    """
    from featurediff.cli.workflow import check_config_exists, find_workflow, run_snakemake

    check_config_exists(directory, options)
    sys.exit(run_snakemake(find_workflow(workflow), directory, options))


@main.command()
@click.option("--config", "file", type=_FOLDER, help="The config.  [default: config.yaml in the directory]")
@click.option(
    "--directory",
    default=".",
    type=_FOLDER,
    help="Folder in which the workflow will run.",
)
@click.option("--cores", type=click.IntRange(min=1), help="Cores that the run will use.  [default: all]")
@click.option("--quick", is_flag=True, help="Decode no pictures and measure no times.")
def check(file: Path | None, directory: Path, cores: int | None, quick: bool) -> None:
    """Find mistakes before a run, estimate its time.

    Looks at the config, data, weights, layers, channels, GPU and results folder, and lists all problems at once with
    their lines in the file. Measures a few steps of the real work on this machine, and multiplies.

    \b
    Examples:
      featurediff check
      featurediff check --config other.yaml --quick
    """
    from featurediff.cli.check import check_run

    problems, lines = check_run(file, directory, cores=cores or os.cpu_count() or 1, quick=quick)
    click.echo("\n".join(lines))
    if problems:
        click.echo("\n" + problems, err=True)
        sys.exit(1)


@main.command(context_settings={"ignore_unknown_options": True})
@click.argument("base", metavar="BASE")
@click.argument("tuned", metavar="TUNED")
@click.argument("options", metavar="[SNAKEMAKE OPTIONS]...", nargs=-1, type=click.UNPROCESSED)
@_model
@click.option(
    "--probe",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Folder of photographs.",
)
@click.option(
    "--layer",
    "layers",
    multiple=True,
    metavar="LAYER[=CHANNELS]",
    help="A layer to compare, such as layer4.2=0-63; repeatable.  [default: the two that moved most]",
)
@click.option("--channels", default=16, show_default=True, type=click.IntRange(min=1), help="Channels of every layer.")
@click.option("--size", type=click.IntRange(min=16), help="Pixels of pictures and probe images.  [default: 224]")
@click.option("--steps", default=128, show_default=True, type=click.IntRange(min=1), help="Steps of the optimizer.")
@click.option("--seeds", default=2, show_default=True, type=click.IntRange(min=1), help="Pictures of every channel.")
@click.option("--out", type=_FOLDER, help="A new folder.  [default: diff-<base>-<tuned>]")
@_workflow
def diff(
    base: str, tuned: str, options: tuple[str, ...], out: Path | None, workflow: Path | None, **settings: Any
) -> None:
    """Compare two checkpoints.

    BASE and TUNED are files of weights, or the library's names of some. The command writes a config into a new folder,
    runs the workflow there, and prints what the two disagree about most and the path of the page. If you name no
    layers, it takes the two whose channels' activations on the photographs moved most; without photographs, whose
    weights did. Half of the channels are those that moved most, the others are spread over the rest. The same command
    again goes on where it was stopped.

    Options that are not listed here go to snakemake; put them last.

    \b
    Examples:
      featurediff diff base.pth tuned.pth --model resnet50 --probe photos
      featurediff diff IMAGENET1K_V2 tuned.pth --model resnet50 --layer layer4.2=0-63 --cores 8
      featurediff diff a.pth b.pth --model nets:build --size 64 -n      list what would run
    """
    from featurediff.cli.diff import Pair, write_diff_config
    from featurediff.cli.workflow import find_workflow, run_snakemake

    workflow = find_workflow(workflow)
    folder = out or Path(f"diff-{Path(base).stem}-{Path(tuned).stem}")
    lines = write_diff_config(Pair(base=base, tuned=tuned, **settings), folder)
    if not lines:
        click.echo(f"{base} and {tuned} do not differ: there is nothing to show")
        return
    click.echo("\n".join(lines), err=True)
    if status := run_snakemake(workflow, folder, options):
        sys.exit(status)
    page = folder / "results" / "report" / "index.html"
    if page.exists():
        compared = Results(folder / "results")
        for name in compared.differences:
            click.echo(compared.difference_sentence(name))
        click.echo(page)


@main.command()
@click.argument("base", metavar="BASE")
@click.argument("tuned", metavar="TUNED")
@_model
@click.option(
    "--probe",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Folder of photographs, onto which the pictures are put.",
)
@click.option("--starts", default=8, show_default=True, type=click.IntRange(min=1), help="Pictures from noise.")
@click.option(
    "--size", type=click.IntRange(min=16), help="Pixels of pictures and photographs.  [default: the network's]"
)
@click.option("--steps", default=128, show_default=True, type=click.IntRange(min=1), help="Steps of the optimizer.")
@click.option("--seed", default=0, show_default=True, type=int, help="Seed of all that is drawn.")
@click.option("--out", type=_FOLDER, help="Folder for pictures and tables.  [default: difference-<base>-<tuned>]")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:1.")
def difference(base: str, tuned: str, out: Path | None, device: str, **settings: Any) -> None:
    """Show what two checkpoints disagree about most.

    BASE and TUNED are files of weights, or the library's names of some, of one architecture with the same classes. No
    workflow and no data are needed. Searches for the class that rises most between the networks, renders what lets it
    rise, and with photographs measures what these pictures do to them. The same command again goes on where it was
    stopped.

    \b
    Examples:
      featurediff difference base.pth tuned.pth --model resnet18
      featurediff difference IMAGENET1K_V1 tuned.pth --model resnet18 --probe photos --size 128 --out audit
    """
    from featurediff.cli.difference import Compared, show_difference
    from featurediff.cli.render import choose_device

    folder = out or Path(f"difference-{Path(base).stem}-{Path(tuned).stem}")
    click.echo("\n".join(show_difference(Compared(base=base, tuned=tuned, **settings), folder, choose_device(device))))
