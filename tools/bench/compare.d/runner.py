"""Runs a case against a peer: fresh servers, then the load, then the figures."""

import json
import os
import subprocess
import tempfile

from processes import PeerFailed, Processes, busy_seconds, process_seconds

RUN_MAX_S = 300


def run_load(command, processes, core, more_pids=()):
    """Runs one command of the load on its core; returns what it reports, and what others used meanwhile."""
    pids = [*processes.pids(), *more_pids]
    command = [part.replace("{pids}", ",".join(map(str, pids))) for part in command]
    before = busy_seconds() - process_seconds(pids)
    children_before = os.times()
    load = subprocess.run(["taskset", "-c", str(core), *command], capture_output=True, text=True, timeout=RUN_MAX_S)
    children = os.times()
    if not load.stdout.strip():
        raise PeerFailed(f"{' '.join(command)}: {load.stderr.strip()}")
    run = json.loads(load.stdout)
    used = children.children_user + children.children_system
    used -= children_before.children_user + children_before.children_system
    wall = max(children.elapsed - children_before.elapsed, 1e-3)
    others = busy_seconds() - process_seconds(pids) - before - used
    run["other_cpu_percent"] = max(0.0, 100 * others / wall)
    return run


def measure(case, peer, programs, seconds, cores):
    """One run of `case` with servers of its own, which are gone afterwards. Raises PeerFailed."""
    server_core, load_core = cores
    with tempfile.TemporaryDirectory(prefix="tidegate-compare-") as directory:
        with Processes(directory, server_core) as processes:
            peer.start(processes)
            before = case.prepare(peer, programs)
            if before is not None:
                run_load(before, processes, load_core)
            try:
                return run_load(case.command(peer, programs, seconds), processes, load_core)
            except subprocess.TimeoutExpired as late:
                raise PeerFailed(f"the run takes more than {RUN_MAX_S} s") from late
