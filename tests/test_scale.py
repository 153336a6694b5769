"""Many GPUs on paper: the page is what the record says, the arithmetic is a ring's, and both submissions start what they say."""

import copy
import json
import os
import re
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import pytest

import tiny
from gander import launching, weights
from gander.plan import configured

HOME = Path(__file__).resolve().parents[1]
DEPLOY = HOME / "deploy"
sys.path.insert(0, str(HOME / "benchmarks"))
import scale  # noqa: E402
import scaling  # noqa: E402

RECORD = json.loads((HOME / "benchmarks" / "results" / "scale.json").read_text("utf-8"))
SMALL = ("width=4", "threads=1")


# ---------------------------------------------------------------------- the page
def test_the_page_is_as_the_record_makes_it():
    page = (HOME / "docs" / "scale.md").read_text("utf-8")
    assert scaling.rendered(page, RECORD) == page
    assert {found["name"] for found in scaling.MARK.finditer(page)} == set(scaling.blocks(RECORD))


def test_every_row_says_where_it_comes_from():
    made = scaling.blocks(RECORD)
    for name, words in (
        ("model", "counted"),
        ("measured", "measured|counted"),
        ("assumed", "cited|assumed"),
    ):
        for line in made[name].splitlines()[2:]:
            assert re.search(words, line.rsplit("|", 2)[1]), line
    assert "ever timed on a GPU" in made["source"]


# ---------------------------------------------------------------------- the arithmetic
@pytest.mark.parametrize("case", scaling.CASES, ids=lambda case: case.name)
def test_an_exchange_is_a_ring(case):
    assert scaling.all_reduce(10**6, 1, case) == 0
    for gpus in scaling.GPUS[1:]:
        took = [scaling.all_reduce(4**k, gpus, case) for k in range(16)]
        # some of the cited points lie a percent above the next one
        assert all(more > 0.97 * less for less, more in pairwise(took))
        assert took[0] == pytest.approx(case.latency[gpus], rel=0.05)
    good = scaling.all_reduce(32 << 20, 8, scaling.GOOD)
    assert good == pytest.approx(10e-6 + 1.75 * (32 << 20) / 450e9)
    good = scaling.all_reduce(32 << 20, 64, scaling.GOOD)
    assert good == pytest.approx(47e-6 + 1.75 * (32 << 20) / 450e9 + 1.75 * (4 << 20) / 50e9)


def test_what_was_cited_is_met_at_its_points():
    for size, busbw in scaling.ONE_NODE:
        seconds = scaling.cited(scaling.ONE_NODE, size * 1024, 8)
        assert 1.75 * size * 1024 / seconds == pytest.approx(busbw * 1e9)


def test_no_remedy_makes_a_step_longer():
    for case in scaling.CASES:
        for gpus in scaling.GPUS[1:]:
            today = scaling.step(RECORD, gpus, 64, case).seconds
            for remedy in scaling.REMEDIES:
                assert scaling.step(RECORD, gpus, 64, case, remedy).seconds <= today * (1 + 1e-9)


def test_a_measured_step_takes_the_place_of_a_derived_one():
    def one(batch, seconds, on_gpu):
        facts = {"batch": batch, "on_gpu": on_gpu, "recorded": True, "device": "card"}
        return facts | {"seconds": {"median": seconds}}

    derived = scaling.computed(RECORD, 64, scaling.GOOD)
    told = {**RECORD, "steps": [one(32, 9.0, False)]}
    assert scaling.computed(told, 64, scaling.GOOD) == derived
    told = {**RECORD, "steps": [one(32, 0.01, True), one(128, 0.04, True)]}
    found = [scaling.computed(told, images, scaling.GOOD) for images in (8, 32, 80, 128, 256)]
    assert found == pytest.approx([0.01, 0.01, 0.025, 0.04, 0.08])
    assert "measured on card" in scaling.blocks(told)["source"]


# ---------------------------------------------------------------------- the counts
@pytest.mark.slow
def test_batch_statistics_are_the_messages_that_grow():
    """Of each process a row of count, means and spreads: twice as many processes, twice as long a message."""
    few, more = (scale.exchanges(n, *SMALL, "data.size=32") for n in (2, 4))
    assert [2 * size for size in few["statistics"]] == more["statistics"]
    assert few["numbers"] == more["numbers"] and few["gradients"] == more["gradients"]
    assert (
        len(few["statistics"]) == 3 * 7
    )  # two norms in each of three blocks and a last one; two draws and a walk back
    assert max(few["numbers"]) <= 16


HEARD = """
import json, sys
sys.path.insert(0, sys.argv[1])
import scale
from gander import engine
from gander.players import make_players
from gander.stepping import step
from gander.tally import Tally
heard = []
class Told(engine.Processes):
    def add(self, tensor):
        heard.append(tensor.nbytes)
        super().add(tensor)
group = engine.join()
plan = scale.planned(scale.made_up(4, 32), "batch=4", "precision=fp32", *sys.argv[3:], group=Told(**vars(group)))
step(plan, make_players(plan), Tally())
if group.first:
    open(sys.argv[2], "w").write(json.dumps(heard))
group.leave()
"""


@pytest.mark.slow
def test_two_real_processes_send_what_was_counted_of_one(tmp_path):
    program, out = tmp_path / "heard.py", tmp_path / "heard.json"
    program.write_text(HEARD)
    words = [sys.executable, program, HOME / "benchmarks", out, *SMALL]
    assert launching.launch(2, list(map(str, words))) == 0
    counted = scale.exchanges(2, *SMALL, "data.size=32")
    assert sorted(json.loads(out.read_text())) == sorted(
        size for sizes in counted.values() for size in sizes
    )


def test_the_command_for_a_gpu_goes_through_without_one(tmp_path, monkeypatch):
    path = tmp_path / "scale.json"
    path.write_text(json.dumps(RECORD))
    page = tmp_path / "scale.md"
    page.write_text("<!-- source -->\n<!-- end -->\n")
    words = [
        "--measure-step",
        "--device",
        "cpu",
        "--batches",
        "4",
        "--side",
        "32",
        "--seconds",
        "0.01",
    ]
    words += ["--record", str(path), "--page", str(page), "--settings", *SMALL, "precision=fp32"]
    monkeypatch.setattr(sys, "argv", ["scale.py", *words])
    assert scale.main() == 0
    told = json.loads(path.read_text())
    assert {k: v for k, v in told.items() if not k.startswith("steps")} == {
        k: v for k, v in RECORD.items() if not k.startswith("steps")
    }
    assert [one["recorded"] for one in told["steps"]] == [True, False]
    assert all(one["finite"] and one["seconds"]["n"] == scale.CHUNKS for one in told["steps"])
    assert "ever timed on a GPU" in page.read_text()


# ---------------------------------------------------------------------- what both submit
def small(folder):
    """A configuration that stands in for 128px.toml and trains in seconds."""
    path = folder / "small.toml"
    words = "[model]\nwidth = 4\n[training]\nbatch = 16\nthreads = 1\nprecision = 'fp32'\n"
    words += "[optimiser]\ndecay = 'none'\n[report]\ntensorboard = false\nsave_seconds = 0.2\n"
    path.write_text(f"preset = 'acgan-infogan'\n{words}")
    return path


def seen(run):
    try:
        return int(weights.read_facts(run / "state" / "state.safetensors")["images_seen"])
    except Exception:  # not there yet
        return 0


def until_saved(run, *processes):
    while not seen(run):
        assert all(process.poll() is None for process in processes)
        time.sleep(0.05)


def environment(**more):
    """That of these tests, where gander and torchrun are found."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, **more}


def test_the_configuration_is_one_and_its_batch_is_shared_out_evenly():
    config = configured(str(DEPLOY / "128px.toml"), [])
    assert (config.model.backbone, config.training.batch) == ("resnet", scaling.STRONG)
    assert all(config.training.batch % gpus == 0 for gpus in scaling.GPUS)
    report = config.report
    asked = (
        report.log_images,
        report.sample_images,
        report.evaluate_images,
        report.evaluate_n,
        report.save_seconds,
    )
    told = scaling.LARGE
    assert asked == (told.line, told.sheet, told.evaluate, told.images, told.save)


# ---------------------------------------------------------------------- Slurm
SRUN = """#!{python}
# stands in for srun: two tasks of one step, and the highest of their exit codes
import os, subprocess, sys
words = sys.argv[1:]
while words[0].startswith("--"):
    words.pop(0)
step = {{"SLURM_STEP_ID": "0", "SLURM_STEP_NUM_TASKS": "2", "SLURM_STEP_NODELIST": "127.0.0.1", "MASTER_PORT": "{port}"}}
tasks = [
    subprocess.Popen(words, env={{**os.environ, **step, "SLURM_PROCID": str(k), "SLURM_LOCALID": str(k)}})
    for k in range(2)
]
open(os.environ["TASKS"], "w").write(" ".join(str(task.pid) for task in tasks))
sys.exit(max(task.wait() for task in tasks))
"""
SCONTROL = '#!/bin/sh\necho "$@" >> "$REQUEUED"\n'


def batch_job(folder, images, data):
    """The very file, started as Slurm would start it on one machine."""
    bin = folder / "bin"
    bin.mkdir(exist_ok=True)
    port = launching.free_port()
    for name, text in (
        ("srun", SRUN.format(python=sys.executable, port=port)),
        ("scontrol", SCONTROL),
    ):
        (bin / name).write_text(text)
        (bin / name).chmod(0o755)
    told = environment(
        CONFIG=str(small(folder)), DATA=data, RUN=str(folder / "run"), IMAGES=str(images)
    )
    told |= {"SLURM_JOB_ID": "123456", "SLURM_NTASKS": "2", "TASKS": str(folder / "tasks")}
    told |= {"REQUEUED": str(folder / "requeued"), "PATH": f"{bin}{os.pathsep}{told['PATH']}"}
    return subprocess.Popen(
        ["bash", str(DEPLOY / "slurm.sbatch")], env=told, stderr=subprocess.PIPE, text=True
    )


def test_the_batch_script_is_one():
    path = DEPLOY / "slurm.sbatch"
    assert subprocess.run(["bash", "-n", path]).returncode == 0
    text = path.read_text()
    rest = text.partition("\nset ")[2]
    asked = dict(re.findall(r"^#SBATCH --([a-z-]+)(?:=(.*))?$", text, re.M))
    assert "#SBATCH" not in rest  # Slurm reads no further than the first command
    assert asked["ntasks-per-node"] == asked["gpus-per-node"] == str(scaling.NODE)
    assert asked["signal"] == "TERM@120"  # to the processes, not to the shell
    assert {"requeue", "open-mode"} <= asked.keys()
    done = subprocess.run(
        ["bash", path], capture_output=True, text=True, env={"PATH": os.environ["PATH"]}
    )
    assert done.returncode and "give the images" in done.stderr


@pytest.mark.slow
def test_the_batch_script_trains_glyphs_in_two_processes(tmp_path):
    job = batch_job(tmp_path, 320, "glyphs")
    assert (job.communicate(timeout=240)[1], job.returncode)[1] == 0
    assert seen(tmp_path / "run") == 320 and not (tmp_path / "requeued").exists()


@pytest.mark.slow
def test_a_job_whose_time_is_up_saves_and_goes_back_into_the_queue(tmp_path):
    job = batch_job(tmp_path, 10**7, tiny.source())
    until_saved(tmp_path / "run", job)
    for task in (tmp_path / "tasks").read_text().split():
        os.kill(int(task), signal.SIGTERM)
    said = job.communicate(timeout=120)[1]
    assert job.returncode == 130 and "stopped and saved" in said
    assert (tmp_path / "requeued").read_text() == "requeue 123456\n"
    before = seen(tmp_path / "run")
    again = batch_job(tmp_path, before + 160, tiny.source())
    said = again.communicate(timeout=240)[1]
    assert again.returncode == 0 and "resuming at" in said
    assert seen(tmp_path / "run") == before + 160


@pytest.mark.slow
def test_a_cancelled_job_stays_out_of_the_queue(tmp_path):
    job = batch_job(tmp_path, 10**7, tiny.source())
    until_saved(tmp_path / "run", job)
    job.terminate()
    for task in (tmp_path / "tasks").read_text().split():
        os.kill(int(task), signal.SIGTERM)
    job.communicate(timeout=120)
    assert job.returncode == 130 and not (tmp_path / "requeued").exists()


# ---------------------------------------------------------------------- Kubernetes
POLICIES = {"Always", "OnFailure", "Never", "ExitCode"}
SET_BY_OPERATOR = {"MASTER_ADDR", "MASTER_PORT", "WORLD_SIZE", "RANK", "PYTHONUNBUFFERED"}
SET_BY_OPERATOR |= {
    "PET_NNODES",
    "PET_NODE_RANK",
    "PET_NPROC_PER_NODE",
    "PET_MASTER_ADDR",
    "PET_MASTER_PORT",
}
REFERENCE = re.compile(r"\$\(([A-Za-z_][A-Za-z0-9_]*)\)")


@pytest.fixture
def job():
    yaml = pytest.importorskip("yaml")
    return yaml.safe_load((DEPLOY / "pytorchjob.yaml").read_text("utf-8"))


def wrong(job):
    """What the operator (its types and its admission webhook, v1) or Kubernetes would refuse, and what would never start."""
    found = []
    spec = job.get("spec", {})
    if (job.get("apiVersion"), job.get("kind")) != ("kubeflow.org/v1", "PyTorchJob"):
        found.append("kind")
    if not re.fullmatch(
        r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?", job.get("metadata", {}).get("name", "")
    ):
        found.append("name")
    if not set(spec) <= {"runPolicy", "elasticPolicy", "pytorchReplicaSpecs", "nprocPerNode"}:
        found.append("spec")
    if not isinstance(spec.get("nprocPerNode"), str):
        found.append("nprocPerNode")
    if spec.get("runPolicy", {}).get("cleanPodPolicy", "None") not in ("All", "Running", "None"):
        found.append("cleanPodPolicy")
    replicas = spec.get("pytorchReplicaSpecs", {})
    if "Master" not in replicas or not set(replicas) <= {"Master", "Worker"}:
        found.append("replica types")
    for name, one in replicas.items():
        if not set(one) <= {"replicas", "restartPolicy", "template"}:
            found.append(f"{name}: fields")
        if one.get("replicas") != 1 if name == "Master" else not one.get("replicas", 1) >= 1:
            found.append(f"{name}: replicas")
        if one.get("restartPolicy") not in POLICIES:
            found.append(f"{name}: restartPolicy")
        found += [f"{name}: {what}" for what in wrong_pod(one["template"]["spec"])]
    return found


def wrong_pod(pod):
    volumes = {volume["name"] for volume in pod.get("volumes", [])}
    if "pytorch" not in [container.get("name") for container in pod["containers"]]:
        yield "no container named pytorch"
    for container in pod["containers"]:
        given = {one["name"]: one["value"] for one in container.get("env", [])}
        if not container.get("image"):
            yield "image"
        if not all(isinstance(word, str) for word in [*container["command"], *given.values()]):
            yield "a word that is no text"
        asked = {name for word in container["command"] for name in REFERENCE.findall(word)}
        if not asked <= given.keys() | SET_BY_OPERATOR:
            yield "a variable nobody sets"
        if given.keys() & SET_BY_OPERATOR:
            yield "a variable that the operator sets"
        if not {mount["name"] for mount in container.get("volumeMounts", [])} <= volumes:
            yield "a volume that is not there"
        if not pod["terminationGracePeriodSeconds"] > int(given["TORCH_ELASTIC_SHUTDOWN_TIMEOUT"]):
            yield "killed before torchrun is done"


def test_the_job_is_one_that_the_operator_takes(job):
    assert not wrong(job)
    master, worker = (job["spec"]["pytorchReplicaSpecs"][name] for name in ("Master", "Worker"))
    assert master["template"] == worker["template"]
    (container,) = master["template"]["spec"]["containers"]
    assert str(container["resources"]["limits"]["nvidia.com/gpu"]) == job["spec"]["nprocPerNode"]


@pytest.mark.parametrize(
    "change",
    [
        lambda job: job.update(kind="Job"),
        lambda job: job["metadata"].update(name="Gander_1"),
        lambda job: job["spec"].update(nprocPerNode=8),
        lambda job: job["spec"]["pytorchReplicaSpecs"].pop("Master"),
        lambda job: job["spec"]["pytorchReplicaSpecs"]["Master"].update(replicas=2),
        lambda job: job["spec"]["pytorchReplicaSpecs"]["Worker"].update(restartPolicy="Sometimes"),
        lambda job: container_of(job).update(name="gander"),
        lambda job: container_of(job)["command"].append("$(NOBODY)"),
        lambda job: container_of(job)["env"].append({"name": "IMAGES", "value": 10**9}),
        lambda job: container_of(job)["volumeMounts"].append({"name": "disk"}),
    ],
)
def test_what_the_operator_refuses_is_refused(job, change):
    job = copy.deepcopy(job)
    change(job)
    assert wrong(job)


def container_of(job, name="Master"):
    return job["spec"]["pytorchReplicaSpecs"][name]["template"]["spec"]["containers"][0]


def operators(replicas, each, rank, port):
    """What the operator (1.7 and newer, without elasticPolicy) sets in each pod of that many."""
    told = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "RANK": str(rank)}
    told |= {"PET_MASTER_ADDR": "127.0.0.1", "PET_MASTER_PORT": str(port), "PYTHONUNBUFFERED": "0"}
    told |= {"WORLD_SIZE": str(replicas * each), "PET_NPROC_PER_NODE": str(each)}
    return told | {"PET_NODE_RANK": str(rank), "PET_NNODES": str(replicas)}


def pods(job, folder, images, replicas=2, each=1):
    """The container's own command, its variables put in as Kubernetes does."""
    port = launching.free_port()
    own = {"CONFIG": str(small(folder)), "DATA": tiny.source(), "RUN": str(folder / "run")}
    own |= {"IMAGES": str(images), "GANDER_CACHE": str(folder / "cache")}
    started = []
    for rank in range(replicas):
        container = container_of(job, "Worker" if rank else "Master")
        there = {one["name"]: one["value"] for one in container["env"]} | own
        there |= operators(replicas, each, rank, port)
        words = [
            REFERENCE.sub(lambda found, t=there: t[found[1]], word) for word in container["command"]
        ]
        options = {"env": environment(**there), "stderr": subprocess.PIPE, "text": True}
        started.append(subprocess.Popen(words, **options))
    return started


@pytest.mark.slow
@pytest.mark.parametrize("replicas, each", [(2, 1), (1, 2)])
def test_the_containers_command_trains_in_two_processes(job, tmp_path, replicas, each):
    started = pods(job, tmp_path, 160, replicas, each)
    said = [pod.communicate(timeout=240)[1] for pod in started]
    assert [pod.returncode for pod in started] == [0] * replicas, said
    assert seen(tmp_path / "run") == 160
    assert "2 processes" in said[0]


@pytest.mark.slow
def test_a_pod_that_is_asked_to_end_saves_and_the_same_command_goes_on(job, tmp_path):
    started = pods(job, tmp_path, 10**7)
    until_saved(tmp_path / "run", *started)
    started[1].terminate()  # one pod alone: all stop
    said = [pod.communicate(timeout=120)[1] for pod in started]
    assert all(pod.returncode for pod in started)  # so that OnFailure starts them again
    assert "stopped and saved" in said[0]
    before = seen(tmp_path / "run")
    again = pods(job, tmp_path, before + 160)
    said = [pod.communicate(timeout=240)[1] for pod in again]
    assert [pod.returncode for pod in again] == [0, 0] and "resuming at" in said[0]
    assert seen(tmp_path / "run") == before + 160


def test_what_the_image_is_made_of_is_there():
    for line in (DEPLOY / "Dockerfile").read_text().splitlines():
        if line.startswith("COPY"):
            assert all((HOME / word).exists() for word in line.split()[1:-1])
