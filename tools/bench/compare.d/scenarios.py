"""What is measured: a case has a main figure, peers that it makes sense for, and the load's command for each."""

import os
from dataclasses import dataclass

SUBSCRIBERS = ("tidegate", "tidegate-proto", "nats", "jetstream", "nchan", "redis-ws", "socketio")
# Those that take seconds to deliver 2,048 events to 1,000 subscribers are measured with the small window only.
FAST_SUBSCRIBERS = ("tidegate", "tidegate-proto", "nats", "jetstream")
PUBLISHERS = ("tidegate", "redis-always", "redis-everysec", "jetstream")


@dataclass(frozen=True)
class Figure:
    """A figure of a run. `names` are its names in reports, of which each has one."""

    title: str
    names: tuple
    scale: float = 1
    digits: int = 0
    higher_is_better: bool = True

    def of(self, run):
        for name in self.names:
            if name in run:
                return run[name] * self.scale
        return None

    def text(self, value):
        return "-" if value is None else f"{value:,.{self.digits}f}"


EVENTS = Figure("events/s", ("events_per_second",))
DELIVERIES = Figure("deliveries/s", ("deliveries_per_second",))
ACK_P50 = Figure("p50 ms", ("ack_p50_us", "batch_p50_us"), 1e-3, 2, False)
ACK_P99 = Figure("p99 ms", ("ack_p99_us", "batch_p99_us"), 1e-3, 2, False)
DELIVERY_P50 = Figure("p50 ms", ("delivery_p50_us",), 1e-3, 1, False)
DELIVERY_P99 = Figure("p99 ms", ("delivery_p99_us",), 1e-3, 1, False)
CAUGHT_UP = Figure("seconds", ("caught_up_seconds",), 1, 2, False)
MEMORY = Figure("KiB each", ("server_rss_bytes_per_connection",), 1 / 1024, 1, False)


class Case:
    """One table. Its commands run on the load's core."""

    scenario = title = ""
    figures = ()
    peers = ()

    def tidegate(self, peer, programs, seconds):
        """The command that loads Tidegate."""
        raise NotImplementedError

    def other(self, peer, programs, seconds):
        """The command that loads a peer; {pids} are its processes."""
        raise NotImplementedError

    def prepare(self, peer, programs):
        """A command to run before the one that is measured, or None."""
        return None

    def command(self, peer, programs, seconds):
        is_tidegate = peer.name.startswith("tidegate")
        return (self.tidegate if is_tidegate else self.other)(peer, programs, seconds)


@dataclass(frozen=True)
class Programs:
    """Where the load's programs are."""

    directory: str

    def bench(self, peer, scenario, *options):
        return [os.path.join(self.directory, "tidegate"), "bench", scenario, "-o", "json", "--server", peer.grpc,
                *map(str, options)]

    def load(self, peer, scenario, *options):
        return [os.path.join(self.directory, "tidegate_load"), scenario, "--peer", peer.load, *map(str, options)]


class Ingest(Case):
    """Acknowledged publishes of 256 bytes."""

    scenario = "ingest"
    figures = (EVENTS, ACK_P50, ACK_P99)
    peers = PUBLISHERS

    def __init__(self, publishers, window):
        self.publishers = publishers
        self.window = window
        self.title = f"Ingest: 256 B, {publishers} publishers x {window:,} events in flight"

    def tidegate(self, peer, programs, seconds):
        # The window goes out in four parts, so that the next ones are on their way while one is on the disk.
        batch = max(1, min(128, self.window // 4))
        return programs.bench(peer, "ingest", "--publishers", self.publishers, "--batch", batch, "--window",
                              self.window, "--duration", f"{seconds:g}s", "--server-pid", peer.pid)

    def other(self, peer, programs, seconds):
        return programs.load(peer, "ingest", "--publishers", self.publishers, "--window", self.window, "--size", 256,
                             "--seconds", seconds, "--publish-port", peer.publish_port, "--server-pids", "{pids}")


class Lone(Ingest):
    """A publisher that waits for each acknowledgement."""

    scenario = "lone"
    figures = (ACK_P50, ACK_P99, EVENTS)

    def __init__(self):
        super().__init__(1, 1)
        self.title = "Lone publish: 256 B, one at a time over an open connection"


class Fanout(Case):
    """Flat out with a window of events that not all have received."""

    scenario = "fanout"
    figures = (DELIVERIES, DELIVERY_P50, DELIVERY_P99)
    # About what a core of the gateway delivers in a second: makes a number of events of a duration.
    expected_rate = 2_000_000

    def __init__(self, subscribers, window, peers):
        self.subscribers = subscribers
        self.window = window
        self.peers = peers
        self.title = f"Fan-out: 128 B to {subscribers:,} subscribers, flat out, {window:,} events in flight"

    def tidegate(self, peer, programs, seconds):
        events = int(seconds * self.expected_rate / self.subscribers)
        return programs.bench(peer, "fanout", "--http", peer.http, "--form", peer.form, "--subscribers",
                              self.subscribers, "--window", self.window, "--events", events, "--server-pid", peer.pid)

    def other(self, peer, programs, seconds):
        return programs.load(peer, "fanout", "--subscribers", self.subscribers, "--window", self.window, "--size", 128,
                             "--seconds", seconds, "--publish-port", peer.publish_port, "--subscribe-port",
                             peer.subscribe_port, "--server-pids", "{pids}")


class Latency(Fanout):
    """A schedule that waits for nobody."""

    scenario = "latency"
    figures = (DELIVERY_P50, DELIVERY_P99, DELIVERIES)

    def __init__(self, rate):
        super().__init__(1000, 0, SUBSCRIBERS)
        self.rate = rate
        self.title = f"Latency: {rate} events/s of 128 B to 1,000 subscribers, from when an event was due"

    def tidegate(self, peer, programs, seconds):
        return programs.bench(peer, "fanout", "--http", peer.http, "--form", peer.form, "--subscribers",
                              self.subscribers, "--rate", self.rate, "--events", int(self.rate * seconds),
                              "--server-pid", peer.pid)

    def other(self, peer, programs, seconds):
        return programs.load(peer, "fanout", "--subscribers", self.subscribers, "--rate", self.rate, "--size", 128,
                             "--seconds", seconds, "--publish-port", peer.publish_port, "--subscribe-port",
                             peer.subscribe_port, "--server-pids", "{pids}")


class Catchup(Case):
    """Subscribers that read all of a stream which is stored already."""

    scenario = "catchup"
    figures = (DELIVERIES,)
    peers = ("tidegate", "tidegate-proto", "jetstream", "redis-streams-ws")

    def __init__(self, clients, events):
        self.clients = clients
        self.events = events
        who = "1 client" if clients == 1 else f"{clients} clients"
        self.title = f"Catch-up: {events:,} stored events of 128 B, {who}"

    def prepare(self, peer, programs):
        if peer.name.startswith("tidegate"):
            return None  # its benchmark publishes what it reads
        return programs.load(peer, "ingest", "--publishers", 1, "--window", 512, "--size", 128, "--events", self.events,
                             "--publish-port", peer.publish_port)

    def tidegate(self, peer, programs, seconds):
        return programs.bench(peer, "catchup", "--http", peer.http, "--form", peer.form, "--clients", self.clients,
                              "--size", 128, "--events", self.events, "--server-pid", peer.pid)

    def other(self, peer, programs, seconds):
        return programs.load(peer, "catchup", "--subscribers", self.clients, "--events", self.events,
                             "--subscribe-port", peer.subscribe_port, "--server-pids", "{pids}")


class Storm(Latency):
    """All subscribers are cut at once and resume, while publishing goes on."""

    scenario = "storm"
    figures = (CAUGHT_UP,)
    peers = ("tidegate", "tidegate-proto", "jetstream", "nchan", "redis-streams-ws", "socketio")

    def __init__(self, subscribers, rate, down_seconds):
        super().__init__(rate)
        self.subscribers = subscribers
        self.peers = Storm.peers
        self.down_seconds = down_seconds
        self.title = f"Storm: {subscribers:,} subscribers at {rate} events/s, cut for {down_seconds} s, until all have caught up"

    def tidegate(self, peer, programs, seconds):
        return programs.bench(peer, "storm", "--http", peer.http, "--form", peer.form, "--subscribers",
                              self.subscribers, "--rate", self.rate, "--quiet", "1s", "--down",
                              f"{self.down_seconds}s", "--after", "1s", "--server-pid", peer.pid)

    def other(self, peer, programs, seconds):
        return programs.load(peer, "storm", "--subscribers", self.subscribers, "--rate", self.rate, "--size", 128,
                             "--seconds", 1, "--down", self.down_seconds, "--publish-port", peer.publish_port,
                             "--subscribe-port", peer.subscribe_port, "--server-pids", "{pids}")


class Idle(Case):
    """Connections that are subscribed and silent."""

    scenario = "idle"
    figures = (MEMORY,)
    peers = ("tidegate", "tidegate-proto", "nats", "jetstream", "nchan", "redis-ws", "socketio")

    def __init__(self, connections):
        self.connections = connections
        self.title = f"Idle: memory (RSS) of {connections:,} subscribed connections, each"

    def tidegate(self, peer, programs, seconds):
        return programs.bench(peer, "idle", "--http", peer.http, "--form", peer.form, "--connections",
                              self.connections, "--duration", "1s", "--server-pid", peer.pid)

    def other(self, peer, programs, seconds):
        return programs.load(peer, "idle", "--subscribers", self.connections, "--subscribe-port", peer.subscribe_port,
                             "--server-pids", "{pids}")


def all_cases(is_quick):
    """All tables, in their order. A quick run has fewer events and connections where they take the time."""
    stored = 20_000 if is_quick else 100_000
    connections = 1_000 if is_quick else 10_000
    cut = 300 if is_quick else 1_000
    return [Ingest(8, 64), Ingest(8, 4096), Lone(), Fanout(1000, 256, SUBSCRIBERS),
            Fanout(1000, 2048, FAST_SUBSCRIBERS), Fanout(100, 256, SUBSCRIBERS), Fanout(100, 2048, FAST_SUBSCRIBERS),
            Latency(50), Latency(200), Catchup(1, stored), Catchup(50, stored),
            Storm(cut, 50, 2), Idle(connections)]
