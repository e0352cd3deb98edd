"""Snakemake's own report of the tiny experiment, and the page's line that renders one channel again."""

import json
from pathlib import Path

from workflow.conftest import Experiment


def test_snakemakes_report_holds_figures_tables_and_captions(finished: Experiment, tmp_path: Path) -> None:
    report = tmp_path / "report.html"
    Experiment(finished.folder, finished.config).run("--report", str(report))
    text = report.read_text(encoding="utf-8")
    results = finished.folder / "results"
    wanted = [
        *(
            f"plots/contact_sheets/{network}/{layer}.png"
            for network in ("base", "dogs", "cars")
            for layer in ("layer3.1", "layer4.1")
        ),
        "plots/similarity.png",
        "plots/training.png",
        "compare/dogs/ranking.csv",
        "compare/cars/summary.csv",
        "failed_pictures.csv",
        *(str(file.relative_to(results)) for file in results.glob("compare/*/*/most_*/*.png")),
    ]
    for path in wanted:
        assert f"results/{path}" in text, path
    for caption in (
        "rendered channels of one layer",
        "Cosine similarity between the embeddings",
        "Pictures that failed",
        "share of the channels",
    ):
        assert caption in text
    for category in ("Pictures", "Change", "Pairs", "Training"):
        assert f'"{category}"' in text


def test_the_line_on_the_page_renders_one_channel_again(experiment: Experiment) -> None:
    script = (experiment.folder / "results/report/data/run.js").read_text(encoding="utf-8")
    run = json.loads(script.partition(",")[2].removesuffix(");\n"))
    assert run["command"] == "featurediff run --cores 8"
    before = experiment.pictures()
    targets = [f"results/{network}/pictures/layer4.1/channel5.png" for network in ("base", "dogs", "cars")]
    for target in targets:
        (experiment.folder / target).unlink()
    assert experiment.run(*targets).rendered == 3
    assert "reused 1" in experiment.output  # the other channel of the batch
    assert experiment.pictures() == before
