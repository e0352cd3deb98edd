"""The workflow through a real Slurm, with the project's profile: two nodes with one GPU each, a third one with two."""

from collections.abc import Iterator

import pytest

from cluster.conftest import ClusterRun, Slurm, most_at_once, wait_for

pytestmark = [pytest.mark.cluster, pytest.mark.long]
PICTURES = {"channel0.png", "channel1.png", "channel2.png"}


@pytest.fixture(scope="module")
def one_gpu(slurm: Slurm, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterRun]:
    """A finished run on one node with one GPU, of which somebody cancelled the first job that rendered."""
    slurm.use("node1")
    run = ClusterRun(tmp_path_factory.mktemp("cluster") / "run", slurm)
    with run.ended():
        run.start()
        wait_for(run.running, "a job that renders")
        slurm.ask("scancel", str(run.running()[0].number))
        assert run.finish() == 0, run.output
    return run


def test_one_gpu_never_has_two_jobs(one_gpu: ClusterRun) -> None:
    jobs = one_gpu.jobs("visualize")
    assert {job.node for job in jobs} == {"node1"}
    assert {job.gpus for job in jobs} == {1}
    assert [job.gpus for job in one_gpu.jobs("load_network")] == [0]
    assert most_at_once(jobs) == 1


def test_a_cancelled_job_is_tried_again_with_twice_the_memory(one_gpu: ClusterRun) -> None:
    jobs = one_gpu.jobs("visualize")
    cancelled = [job for job in jobs if job.state == "CANCELLED"]
    assert len(cancelled) == 1
    assert sorted(job.state for job in jobs) == ["CANCELLED", "COMPLETED", "COMPLETED", "COMPLETED"]
    (again,) = [job for job in jobs if job.rule == cancelled[0].rule and job.state == "COMPLETED"]
    assert (cancelled[0].memory, again.memory) == ("8000M", "16000M")
    assert set(one_gpu.pictures()) == PICTURES


def test_nothing_is_left_on_a_node(slurm: Slurm, one_gpu: ClusterRun) -> None:
    """Every job had temporary and home folders that no other job ever saw: what it leaves for others lies elsewhere."""
    jobs = {job.number for job in one_gpu.jobs()}
    wait_for(lambda: jobs <= set(slurm.left_on_nodes()), "the nodes to have tidied up")
    assert [file for job in jobs for file in slurm.left_on_nodes()[job]] == []
    assert list((one_gpu.folder / "tmp").iterdir()) == []


def test_a_cluster_without_gpus(slurm: Slurm, one_gpu: ClusterRun) -> None:
    before = one_gpu.pictures()
    (one_gpu.folder / "results" / "base" / "pictures" / "layer1.0" / "channel1.png").unlink()
    with one_gpu.ended():
        assert one_gpu.start("--config", "gpu=0").finish() == 0, one_gpu.output
    assert [(job.state, job.gpus) for job in one_gpu.jobs()] == [("COMPLETED", 0)]
    assert one_gpu.pictures() == before


def test_ctrl_c_cancels_the_jobs_and_a_node_that_is_lost_costs_nothing(
    slurm: Slurm, run: ClusterRun, one_gpu: ClusterRun
) -> None:
    slurm.use("node1", "node2")
    run.start()
    wait_for(lambda: len(run.running()) == 2, "two jobs that render, one a node")
    run.interrupt()
    assert run.finish() != 0
    slurm.wait_until_idle()
    assert {job.state for job in run.jobs("visualize")} == {"CANCELLED"}

    run.start()
    wait_for(lambda: len(run.running()) == 2, "two jobs that render, one a node")
    assert {job.node for job in run.running()} == {"node1", "node2"}
    slurm.set_node("node2", "down")
    assert run.finish() == 0, run.output
    done = run.jobs("visualize")
    assert {job.node for job in done if job.state == "COMPLETED"} == {"node1"}
    assert most_at_once(done) <= 2
    assert run.pictures() == one_gpu.pictures()


def test_two_jobs_on_a_node_use_the_devices_that_slurm_gave_them(slurm: Slurm, run: ClusterRun) -> None:
    """Two GPUs seem to be there, and Slurm hides one from each job; a job ends only when both have had theirs."""
    slurm.use("node3")
    run.record(RECORD_GPUS="2", RECORD_HELD="2")
    assert run.start().finish() == 0, run.output
    assert {job.node for job in run.jobs()} == {"node3"}
    assert most_at_once(run.jobs("visualize")) == 2
    assert {record["gpu"] for record in run.records()} == {None, "GPU-0", "GPU-1"}
    assert not any("waiting" in log for log in run.logs())
