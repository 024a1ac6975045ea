"""Medians, ratios, tables, and the document."""

import os
import platform
import statistics
import tempfile
import time

from install import versions


def median(case, figure, runs):
    values = [figure.of(run) for run in runs]
    values = [value for value in values if value is not None]
    return statistics.median(values) if values else None


def ratio(figure, ours, theirs):
    """How many times better Tidegate is; nothing when one of them has no figure."""
    if not ours or not theirs:
        return None
    return ours / theirs if figure.higher_is_better else theirs / ours


def spread(figure, runs):
    values = sorted(figure.of(run) for run in runs if figure.of(run) is not None)
    return f"{figure.text(values[0])} .. {figure.text(values[-1])}" if len(values) > 1 else "one run"


def average(runs, name):
    return statistics.mean(run.get(name, 0) for run in runs)


def server_us_each(runs):
    """The servers' processor time for an event, delivery or connection, which other programs spoil least."""
    return statistics.median(next(value for name, value in run.items() if name.startswith("server_cpu_us_per_"))
                             for run in runs)


class Results:
    """All runs: case -> peer's name -> runs."""

    def __init__(self, peers):
        self.peers = peers
        self.runs = {}
        self.failures = []

    def add(self, case, peer, run):
        self.runs.setdefault(case, {}).setdefault(peer.name, []).append(run)

    def fail(self, case, peer, why):
        self.failures.append(f"{peer.title}, {case.title}: {why}")

    def rows(self, case):
        """A row per peer: title, durability, figures, ratio, spread, processors, remarks."""
        by_peer = self.runs.get(case, {})
        main = case.figures[0]
        ours = median(case, main, by_peer.get("tidegate", []))
        for name in case.peers:
            runs = by_peer.get(name)
            if not runs:
                continue
            value = median(case, main, runs)
            times = ratio(main, ours, value)
            yield {
                "peer": self.peers[name],
                "figures": [figure.text(median(case, figure, runs)) for figure in case.figures],
                "spread": spread(main, runs),
                "ratio": "" if name == "tidegate" or times is None else f"{times:.2f}x",
                "cpu": "/".join(f"{average(runs, key):.0f}" for key in
                                ("server_cpu_percent", "client_cpu_percent", "other_cpu_percent")),
                "each": f"{server_us_each(runs):.2f}",
                "remarks": remarks(runs),
                "wins": name not in ("tidegate", "tidegate-proto") and times is not None and times < 1,
                "times": times,
            }


def remarks(runs):
    """What spoils a figure."""
    found = []
    wrong = sum(run.get("lost", 0) + run.get("duplicated", 0) + run.get("out_of_order", 0) for run in runs)
    if wrong:
        found.append(f"{wrong:,} deliveries lost, doubled or out of order")
    if any(run.get("client_was_bottleneck") for run in runs):
        found.append("the load was the bottleneck")
    return "; ".join(found)


def table(results, case):
    """A case as Markdown, which also reads well on a terminal."""
    titles = [figure.title for figure in case.figures]
    head = ["", "durability", *titles, "range of the runs", "Tidegate is better by", "server CPU us each",
            "CPU %: server/load/others", ""]
    rows = [[row["peer"].title, row["peer"].durability, *row["figures"], row["spread"], row["ratio"],
             row["each"], row["cpu"], row["remarks"]] for row in results.rows(case)]
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    lines = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths)) + " |" for row in [head, *rows]]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def fdatasync_us():
    """The median time that this disk needs to make 512 appended bytes durable."""
    times = []
    with tempfile.TemporaryFile() as file:
        for _ in range(200):
            begin = time.perf_counter()
            os.write(file.fileno(), b"x" * 512)
            os.fdatasync(file.fileno())
            times.append(time.perf_counter() - begin)
    return statistics.median(times) * 1e6


def machine():
    def value_of(path, name):
        with open(path) as file:
            return next((line.split(":", 1)[1].strip() for line in file if line.startswith(name)), "unknown")

    memory = int(value_of("/proc/meminfo", "MemTotal").split()[0]) / 2**20
    with open("/etc/os-release") as file:
        system = next(line.split('"')[1] for line in file if line.startswith("PRETTY_NAME"))
    return (f"{os.cpu_count()} cores ({value_of('/proc/cpuinfo', 'model name')}), {memory:.0f} GiB, {system}, Linux "
            f"{platform.release()}; fdatasync of 512 appended bytes: {fdatasync_us():.0f} us (median)")


def losses(results):
    """Where a peer is better than Tidegate in a case's main figure."""
    for case in results.runs:
        for row in results.rows(case):
            if row["wins"]:
                yield f"{case.title}: {row['peer'].title} ({row['peer'].durability}) is {1 / row['times']:.2f}x better"


def document(results, command, rounds, cores):
    """The whole of docs/benchmarks-compare.md."""
    others = max((run["other_cpu_percent"] for by_peer in results.runs.values() for runs in by_peer.values()
                  for run in runs), default=0)
    lines = [
        "# Benchmarks beside peers", "",
        f"Written by `{command}` on {time.strftime('%Y-%m-%d')}. Do not edit: run it again.", "",
        f"- Machine: {machine()}.",
        f"- Servers on core {cores[0]}, the load on core {cores[1]}. Medians of {rounds} rounds; in each round all peers "
        "take their turn, with fresh servers and an empty directory. \"Better by\" compares the first figure.",
        "- Versions: " + ", ".join(f"{name} {version}" for name, version in versions().items()) + ".",
        "- Peers have their defaults but for what is needed to measure (ports, longer pings, one nginx worker, no "
        "compression); `tools/bench/compare.d` has every setting.",
        "- Tidegate is loaded by `tidegate bench`, which reads each event it gets, the peers by `tidegate_load`, which "
        "only looks for events: the peers have the lighter load.",
        f"- Other programs used up to {others:.0f}% of a core during the runs.", "",
        "## Where a peer wins", "",
    ]
    lines += [f"- {loss}" for loss in losses(results)] or ["Nowhere in these runs."]
    for case in results.runs:
        lines += ["", f"## {case.title}", "", table(results, case)]
    if results.failures:
        lines += ["", "## What did not run", "", *[f"- {failure}" for failure in results.failures]]
    return "\n".join(lines) + "\n"
