"""The workflow through a real Slurm, with the project's profile: two nodes, one GPU each."""

from collections.abc import Callable

import pytest

from cluster.conftest import ClusterRun, Slurm, most_at_once, wait_for

pytestmark = [pytest.mark.cluster, pytest.mark.long]
PICTURES = {"channel0.png", "channel1.png", "channel2.png"}


@pytest.fixture(scope="module")
def one_gpu(slurm: Slurm, new_run: Callable[[], ClusterRun]) -> ClusterRun:
    """A finished run on one node with one GPU, of which somebody cancelled the first job that rendered."""
    slurm.set_node("node2", "drain")
    try:
        run = new_run().start()
        wait_for(run.running, "a job that renders")
        slurm.ask("scancel", str(run.running()[0].number))
        assert run.finish() == 0, run.output
    finally:
        slurm.set_node("node2", "resume")
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


def test_a_job_sees_the_device_that_slurm_gave(one_gpu: ClusterRun) -> None:
    assert len(one_gpu.logs()) == 3
    assert all("CUDA_VISIBLE_DEVICES=0" in log for log in one_gpu.logs())


def test_nothing_is_left_on_a_node(one_gpu: ClusterRun) -> None:
    """What one job leaves for the next lies in the working folder, not in the node's own places."""
    assert list((one_gpu.folder / "tmp").iterdir()) == []


def test_ctrl_c_cancels_the_jobs_and_a_node_that_is_lost_costs_nothing(
    slurm: Slurm, new_run: Callable[[], ClusterRun], one_gpu: ClusterRun
) -> None:
    run = new_run().start()
    wait_for(lambda: len(run.running()) == 2, "two jobs that render, one a node")
    run.interrupt()
    assert run.finish(60) != 0
    wait_for(lambda: not slurm.ask("squeue", "--noheader"), "an empty queue", 60)
    assert {job.state for job in run.jobs("visualize")} == {"CANCELLED"}

    run.start()
    wait_for(lambda: len(run.running()) == 2, "two jobs that render, one a node")
    assert {job.node for job in run.running()} == {"node1", "node2"}
    slurm.set_node("node2", "down")
    try:
        assert run.finish() == 0, run.output
    finally:
        slurm.set_node("node2", "resume")
    done = run.jobs("visualize")
    assert {job.node for job in done if job.state == "COMPLETED"} == {"node1"}
    assert most_at_once(done) <= 2
    assert run.pictures() == one_gpu.pictures()


def test_a_cluster_without_gpus(one_gpu: ClusterRun) -> None:
    before = one_gpu.pictures()
    (one_gpu.folder / "results" / "base" / "features" / "layer1.0" / "channel1.png").unlink()
    assert one_gpu.start("--config", "gpu=0").finish() == 0, one_gpu.output
    assert [(job.state, job.gpus) for job in one_gpu.jobs()] == [("COMPLETED", 0)]
    assert one_gpu.pictures() == before
