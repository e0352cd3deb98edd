"""Files that were whole and are no longer: each is refused by name, and made again once it is deleted, as it was."""

import re
from pathlib import Path

import pytest
import torch

from faults.conftest import LAYER, Disturbed, Survives, jobs, wait_until

pytestmark = [pytest.mark.faults, pytest.mark.long]

PICTURE = f"results/base/pictures/{LAYER}/seed1/channel1.png"
# Damaged file -> how much of it is left, the rule that finds out, and a file to be made that needs the damaged one.
# In runs of their own, because what fails in one is missing in the next.
DAMAGED: list[dict[str, tuple[float, str, str]]] = [
    {
        f"results/base/digests/{LAYER}.sha256": (0, "visualize_0", f"results/base/pictures/{LAYER}/channel0.png"),
        "results/tuned/network.pth": (0.99, "visualize_0", f"results/tuned/pictures/{LAYER}/channel0.png"),
        f"results/tuned/pictures/{LAYER}.csv": (0, "find_failed_pictures", "results/failed_pictures.csv"),
    },
    {"results/tuned/checkpoints/epoch{shown}.pth": (0.5, "select_checkpoint", "results/tuned/network.sha256")},
    {
        "results/data/shapes/split.csv": (0, "finetune_tuned", "results/tuned/checkpoints/epoch1.pth"),
    },
]
MAKERS = ("split_data", "load_network", "finetune_tuned", "select_checkpoint", "visualize_0", "list_pictures")


def cut(file: Path, share: float) -> None:
    with file.open("r+b") as stream:
        stream.truncate(int(share * file.stat().st_size))


def refused(experiment: Disturbed, damaged: dict[str, tuple[float, str, str]]) -> set[str]:
    """Run the rules that read the damaged files; returns the files that they say are to be deleted."""
    for path, (share, *_) in damaged.items():
        cut(experiment.folder / path, share)
    rules = [rule for _, rule, _ in damaged.values()]
    targets = [target for *_, target in damaged.values()]
    arguments = ["--keep-going", "--allowed-rules", *rules, "--forcerun", *rules, "--", *targets]
    said = experiment.run(*arguments, check=False).output
    assert "Traceback" not in said
    assert sorted(re.findall(r"Error in rule (\w+)", said)) == sorted(rules)
    return set(re.findall(r"^(results/\S+) .*delete it and run again$", said, re.MULTILINE))


def test_damaged_files(finished: Disturbed, survives: Survives) -> None:
    shown = torch.load(finished.results / "tuned/network.pth", weights_only=True)["epoch"]
    (finished.results / f"tuned/pictures/{LAYER}/channel0.png").unlink()  # else nothing needs the network
    damaged = [{path.format(shown=shown): how for path, how in of_run.items()} for of_run in DAMAGED]
    everything = [path for of_run in damaged for path in of_run]
    with survives("damaged files", finished, len(everything)):
        for of_run in damaged:
            assert refused(finished, of_run) == set(of_run)
        for path in everything:
            (finished.folder / path).unlink(missing_ok=True)  # an output of a job that failed is gone already
        rules = [rule for of_run in damaged for _, rule, _ in of_run.values()]
        targets = [target for of_run in damaged for *_, target in of_run.values()]
        finished.run("--allowed-rules", *MAKERS, *rules, "--", *everything, *targets)
        # a checkpoint has two names, and its content was cut under both
        assert re.search(rf"training again from epoch {shown} on: \S+epoch{shown}\.pth cannot be read", finished.output)


def test_a_checkpoint_whose_weights_were_changed(finished: Disturbed, survives: Survives) -> None:
    """Torch reads it without a word; the digest that was written with it tells."""
    file = finished.results / "tuned/.training/epoch1.pth"
    data = bytearray(file.read_bytes())
    data[len(data) // 4] ^= 16  # the weights are the first half of it, the optimizer's numbers the second
    with survives("a checkpoint with a wrong bit", finished):
        file.write_bytes(data)
        (finished.results / "tuned/training.csv").unlink()
        finished.run("results/tuned/training.csv")
        assert re.search(r"training again from epoch 1 on: the weights in \S+epoch1\.pth have changed", finished.output)


def test_a_picture_in_the_middle_is_deleted(finished: Disturbed, survives: Survives) -> None:
    with survives("a deleted picture", finished):
        (finished.folder / PICTURE).unlink()
        assert "visualize_0" in jobs(finished.run("-n").output)
        assert finished.run("pictures").rendered == 1


def test_a_picture_that_is_cut_off(finished: Disturbed, survives: Survives) -> None:
    with survives("a picture that is cut off", finished):
        cut(finished.folder / PICTURE, 0.9)
        said = finished.run(check=False).output
        assert "1 pictures are cut off" in said
        assert PICTURE in said
        assert "Traceback" not in said
        (finished.folder / PICTURE).unlink()
        assert finished.run("pictures").rendered == 1


def test_a_file_is_deleted_under_a_job(finished: Disturbed, survives: Survives) -> None:
    table = f"results/base/pictures/{LAYER}.csv"
    (finished.folder / table).unlink()
    opening = {"job": "list_pictures/base", "event": 0, "do": "pause"}
    with (
        survives("a file that is deleted under a job", finished),
        finished.started(table, orders=(opening,)) as workflow,
    ):
        wait_until(finished.followed, "the job has opened its log")
        (finished.folder / PICTURE).unlink()
        (finished.orders / "go").touch()
        assert workflow.wait(finished.patience) != 0
        assert f"{PICTURE} does not exist: make it again (`snakemake pictures`)" in finished.said
        assert "Traceback" not in finished.said
        assert finished.run("pictures").rendered == 1  # the table alone asks only for pictures that stand for others
        finished.run(table)
