"""Server processes on loopback: each on its core, in its own directory, ended by its own process id."""

import os
import signal
import socket
import subprocess
import time

HOST = "127.0.0.1"
PATIENCE_S = 20
TICKS = os.sysconf("SC_CLK_TCK")


class PeerFailed(Exception):
    """A peer did not start or did not answer; the text says which and what it said."""


def free_port():
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return probe.getsockname()[1]


class Processes:
    """The processes of one peer, which end with the `with` statement."""

    def __init__(self, directory, core):
        self.directory = directory
        self._core = core
        self._running = []
        self._logs = []

    def __enter__(self):
        return self

    def end(self, patience_s):
        """Asks all to end, and kills those that do not."""
        for process in reversed(self._running):
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in self._running:
            try:
                process.wait(patience_s)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def __exit__(self, *_):
        self.end(5)
        for log in self._logs:
            log.close()

    def start(self, command, port=None, **options):
        """Starts a program and waits until it listens on `port`."""
        log = open(os.path.join(self.directory, f"log.{len(self._logs)}"), "w+b")
        self._logs.append(log)
        # taskset becomes the program itself, so that the process id is the program's.
        process = subprocess.Popen(
            ["taskset", "-c", str(self._core), *map(str, command)],
            stdin=subprocess.DEVNULL, stdout=options.pop("stdout", log), stderr=log, cwd=self.directory, **options)
        self._running.append(process)
        if port is not None:
            self.wait_for_port(port)
        return process

    def wait_for_port(self, port):
        """Waits until something listens, or says why nothing does."""
        until = time.monotonic() + PATIENCE_S
        while True:
            try:
                socket.create_connection((HOST, port), 1).close()
                return
            except OSError:
                pass
            if self._running[-1].poll() is not None or time.monotonic() > until:
                raise PeerFailed(f"{self._running[-1].args[3]} does not listen: {self.last_words()}")
            try:
                self._running[-1].wait(0.02)  # for its end, or a little
            except subprocess.TimeoutExpired:
                pass

    def last_words(self):
        """The end of what the newest process wrote."""
        log = self._logs[-1]
        log.seek(0)
        return log.read()[-500:].decode(errors="replace").strip()

    def pids(self):
        """The processes and all that they started."""
        children = {}
        for name in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{name}/stat") as file:
                    parent = int(file.read().rsplit(")", 1)[1].split()[1])
            except OSError:
                continue  # it ended meanwhile
            children.setdefault(parent, []).append(int(name))
        found = [process.pid for process in self._running]
        for pid in found:
            found.extend(children.get(pid, []))
        return found


def busy_seconds():
    """Processor time that the whole machine has used since it started, the hypervisor's share included."""
    with open("/proc/stat") as file:
        ticks = [int(word) for word in file.readline().split()[1:9]]
    return (sum(ticks) - ticks[3] - ticks[4]) / TICKS


def process_seconds(pids):
    """Processor time of processes; those that are gone count nothing."""
    seconds = 0
    for pid in pids:
        try:
            with open(f"/proc/{pid}/stat") as file:
                words = file.read().rsplit(")", 1)[1].split()
        except OSError:
            continue
        seconds += (int(words[11]) + int(words[12])) / TICKS
    return seconds
