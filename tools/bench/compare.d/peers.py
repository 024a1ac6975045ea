"""Tidegate and its peers: how each is started, and what it promises of an event that it took."""

import http.client
import json
import os
import select
import socket

from install import HERE, NCHAN_MODULE, program
from processes import HOST, PATIENCE_S, PeerFailed, free_port

DAY_NS = 24 * 3600 * 10**9


class Peer:
    """What can be started and loaded. `load` is its name for tidegate_load."""

    name = title = load = durability = ""

    def __init__(self):
        self.publish_port = self.subscribe_port = 0

    def start(self, processes):
        """Starts the servers in the processes' directory; they end with the processes."""
        raise NotImplementedError

    def write(self, processes, name, text):
        """Writes a file of settings; returns its path."""
        path = os.path.join(processes.directory, name)
        with open(path, "w") as file:
            file.write(text)
        return path


class Tidegate(Peer):
    """The product, in one of its two subprotocols."""

    durability = "fsync before acknowledgement and delivery"

    # A load connects all of its clients at once.
    settings = "[limits]\nupgrades_per_second = 100000\n"

    def __init__(self, bin_directory, form="json", settings=settings, wrapper=()):
        super().__init__()
        self.form = form
        self._settings = settings  # of its configuration file
        self.name = "tidegate" if form == "json" else "tidegate-proto"
        self.title = f"Tidegate ({'JSON' if form == 'json' else 'binary'})"
        self._command = [*wrapper, os.path.join(bin_directory, "tidegated")]
        self.http = self.grpc = self.admin = ""
        self.pid = 0

    def start(self, processes):
        settings = self.write(processes, "tidegate.toml", self._settings)
        names = os.path.join(processes.directory, "listening")
        os.mkfifo(names)
        # Opened for both, so that neither side waits for the other.
        with open(os.open(names, os.O_RDWR), "w+b", buffering=0) as pipe:
            process = processes.start(
                [*self._command, "--config", settings, "--data", "data",
                 "--http", f"{HOST}:0", "--grpc", f"{HOST}:0", "--admin", f"{HOST}:0",
                 "--http-max-connections", 15000, "--disk-soft", "64MiB", "--disk-hard", "32MiB", "--ballast", "0"],
                stdout=pipe)
            self.pid = process.pid
            with open(os.open(names, os.O_RDONLY | os.O_NONBLOCK)) as lines:
                self.http, self.grpc, self.admin = self._addresses(lines, process, processes)

    @staticmethod
    def _addresses(lines, process, processes):
        text = ""
        while text.count("\n") < 3:
            if process.poll() is not None or not select.select([lines], [], [], PATIENCE_S)[0]:
                raise PeerFailed(f"tidegated does not start: {processes.last_words()}")
            text += os.read(lines.fileno(), 4096).decode()
        addresses = dict(line.split()[1:3] for line in text.splitlines())
        return addresses["http"], addresses["grpc"], addresses["admin"]


class Nchan(Peer):
    """nginx with its publish-subscribe module; keeps messages in memory."""

    name = load = "nchan"
    title = "Nchan"
    durability = "memory only"
    # One worker, because the server has one core. Publishers keep one connection.
    settings = """
load_module {module};
daemon off;
worker_processes 1;
{user}
pid nginx.pid;
error_log stderr error;
events {{ worker_connections 16000; }}
http {{
  access_log off;
  keepalive_requests 1000000000;
  keepalive_timeout 1h;
  client_body_temp_path body;
  proxy_temp_path proxy;
  fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi;
  scgi_temp_path scgi;
  nchan_max_reserved_memory 1024M;
  nchan_message_buffer_length 20000;
  nchan_message_timeout 10m;
  server {{
    listen {host}:{port} backlog=4096;
    location = /publish {{ nchan_publisher http; nchan_channel_id bench; }}
    location = /new {{
      nchan_subscriber websocket; nchan_channel_id bench; nchan_subscriber_first_message newest;
    }}
    location = /all {{
      nchan_subscriber websocket; nchan_channel_id bench; nchan_subscriber_first_message oldest;
    }}
  }}
}}
"""

    def start(self, processes):
        self.publish_port = self.subscribe_port = free_port()
        user = "user root;" if os.geteuid() == 0 else ""
        settings = self.write(processes, "nginx.conf", self.settings.format(
            module=NCHAN_MODULE, user=user, host=HOST, port=self.publish_port))
        processes.start([program("nginx"), "-p", processes.directory, "-c", settings], self.publish_port)
        # The port is open before there is a worker, and the worker is the process to look at.
        connection = http.client.HTTPConnection(HOST, self.publish_port, timeout=PATIENCE_S)
        connection.request("GET", "/publish")
        connection.getresponse()
        connection.close()


class Nats(Peer):
    """NATS without JetStream: tells whoever listens."""

    name = load = "nats"
    title = "NATS core"
    durability = "stores nothing"
    settings = """
listen: "{host}:{publish_port}"
websocket {{ listen: "{host}:{subscribe_port}", no_tls: true }}
ping_interval: "1h"
max_connections: 65000
{more}
"""
    more = ""

    def start(self, processes):
        self.publish_port, self.subscribe_port = free_port(), free_port()
        settings = self.write(processes, "nats.conf", self.settings.format(
            host=HOST, publish_port=self.publish_port, subscribe_port=self.subscribe_port, more=self.more))
        processes.start([program("nats-server"), "-c", settings], self.publish_port)
        processes.wait_for_port(self.subscribe_port)


class JetStream(Nats):
    """NATS with a stream in files."""

    name = load = "jetstream"
    title = "JetStream"
    durability = "files, no fsync before acknowledgement (sync_interval 2m, its default)"
    more = 'jetstream { store_dir: "stored", max_file_store: 50GB, max_memory_store: 4GB }'

    def start(self, processes):
        super().start(processes)
        self._request("$JS.API.STREAM.CREATE.bench",
                      {"name": "bench", "subjects": ["bench.>"], "storage": "file", "retention": "limits",
                       "max_age": DAY_NS, "num_replicas": 1})

    def _request(self, subject, body):
        """Sends a request of the JetStream interface and checks the answer."""
        text = json.dumps(body)
        with socket.create_connection((HOST, self.publish_port), PATIENCE_S) as server:
            server.sendall((f'CONNECT {{"verbose":false,"pedantic":false}}\r\nSUB answer 1\r\n'
                            f"PUB {subject} answer {len(text)}\r\n{text}\r\n").encode())
            answer = b""
            while b'"type":"io.nats.' not in answer or not answer.endswith(b"\r\n"):
                received = server.recv(65536)
                if not received:
                    raise PeerFailed(f"nats-server ended the connection: {answer.decode()}")
                answer += received
        if b'"error"' in answer:
            raise PeerFailed(f"nats-server refused {subject}: {answer.decode()}")


class RedisPeer(Peer):
    """Redis, and where subscribers are needed, the WebSocket server in front of it."""

    arguments = ()
    has_subscribers = True

    def start(self, processes):
        self.publish_port = free_port()
        processes.start([program("redis-server"), "--bind", HOST, "--port", self.publish_port, "--dir",
                         processes.directory, "--save", "", "--auto-aof-rewrite-percentage", "0", *self.arguments],
                        self.publish_port)
        if self.has_subscribers:
            self.subscribe_port = free_port()
            processes.start([program("node"), os.path.join(HERE, "ws_server.mjs"), self.subscribe_port,
                             self.publish_port], self.subscribe_port)


class RedisPublish(RedisPeer):
    name = "redis-ws"
    load = "redis"
    title = "Redis PUBLISH + Node ws"
    durability = "stores nothing"


class RedisStreams(RedisPeer):
    name = "redis-streams-ws"
    load = "redis-streams"
    title = "Redis Streams + Node ws"
    durability = "append-only file, fsync each second"
    arguments = ("--appendonly", "yes", "--appendfsync", "everysec")


class RedisEverySecond(RedisStreams):
    name = "redis-everysec"
    title = "Redis Streams, appendfsync everysec"
    has_subscribers = False


class RedisAlways(RedisPeer):
    name = "redis-always"
    load = "redis-streams"
    title = "Redis Streams, appendfsync always"
    durability = "fsync before acknowledgement"
    arguments = ("--appendonly", "yes", "--appendfsync", "always")
    has_subscribers = False


class SocketIo(Peer):
    name = load = "socketio"
    title = "Socket.IO"
    durability = "connection state recovery, memory only"

    def start(self, processes):
        self.publish_port, self.subscribe_port = free_port(), free_port()
        processes.start([program("node"), os.path.join(HERE, "socketio_server.mjs"), self.subscribe_port,
                         self.publish_port], self.subscribe_port)
        processes.wait_for_port(self.publish_port)


def all_peers(bin_directory):
    """By name, in the order of the tables."""
    peers = [Tidegate(bin_directory), Tidegate(bin_directory, "proto"), RedisAlways(), RedisEverySecond(), JetStream(),
             Nats(), Nchan(), RedisPublish(), RedisStreams(), SocketIo()]
    return {peer.name: peer for peer in peers}
