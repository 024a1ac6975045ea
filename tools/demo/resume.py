#!/usr/bin/env python3
"""Follows streams over a real WebSocket, cuts the connection in the middle, resumes, and proves that nothing was lost.

    resume.py HOST:PORT PATTERN [--cuts N] > sequences.txt

Prints one sequence per line on stdout and tells the story on stderr. It needs nothing but Python's standard library, so it
is also the shortest complete client: subscribe, remember the last `position`, subscribe again after it.
"""

import argparse
import base64
import json
import os
import socket
import struct
import sys


class WebSocket:
    """Just enough of RFC 6455 for a client of text messages."""

    def __init__(self, host, port):
        self.socket = socket.create_connection((host, port), timeout=30)
        self.buffer = b""
        key = base64.b64encode(os.urandom(16)).decode()
        self.socket.sendall(
            f"GET /v1/ws HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Protocol: tidegate.v1.json\r\n\r\n".encode())
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += self.read(1)
        if b" 101 " not in head.split(b"\r\n", 1)[0]:
            raise ConnectionError(head.decode(errors="replace"))

    def read(self, count):
        while len(self.buffer) < count:
            piece = self.socket.recv(65536)
            if not piece:
                raise ConnectionError("the gateway closed the connection")
            self.buffer += piece
        taken, self.buffer = self.buffer[:count], self.buffer[count:]
        return taken

    def send(self, message, opcode=1):
        payload = message if isinstance(message, bytes) else json.dumps(message).encode()
        mask = os.urandom(4)
        size = len(payload)
        length = struct.pack("!B", 0x80 | size) if size < 126 else struct.pack("!BH", 0x80 | 126, size)
        masked = bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))
        self.socket.sendall(bytes([0x80 | opcode]) + length + mask + masked)

    def receive(self):
        while True:
            first, second = self.read(2)
            size = second & 0x7F
            if size == 126:
                size = struct.unpack("!H", self.read(2))[0]
            elif size == 127:
                size = struct.unpack("!Q", self.read(8))[0]
            payload = self.read(size)
            if first & 0x0F == 1:
                return json.loads(payload)
            if first & 0x0F == 8:
                raise ConnectionError(f"closed: {payload[2:].decode()}")
            if first & 0x0F == 9:
                self.send(payload, opcode=10)

    def cut(self):
        """A reset, as when a cable is pulled: no close frame, no farewell."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()


def say(text):
    print(text, file=sys.stderr, flush=True)


def follow(arguments):
    host, port = arguments.gateway.rsplit(":", 1)
    position, received, cuts = None, [], 0
    while True:
        connection = WebSocket(host, int(port))
        subscribe = {"op": "subscribe", "id": "demo", "streams": [arguments.pattern]}
        subscribe.update({"after": position} if position else {"from": "start"})
        connection.send(subscribe)
        while True:
            message = connection.receive()
            if message["op"] == "subscribed":
                say(f"  subscribed after {message['position']}, {message['behind']} events of the log to go through")
            elif message["op"] == "events":
                received += [event["sequence"] for event in message["events"]]
                position = message["position"]
                if cuts < arguments.cuts and len(received) >= (cuts + 1) * 150:
                    cuts += 1
                    say(f"  {len(received)} events received; connection cut after {position}")
                    connection.cut()
                    break
            elif message["op"] == "caught_up":
                say(f"  caught up at {message['position']}: {len(received)} events, {cuts} cuts")
                return received
            elif message["op"] in ("gap", "reset", "error", "closing"):
                raise SystemExit(f"resume.py: unexpected {message}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("gateway", metavar="HOST:PORT")
    parser.add_argument("pattern")
    parser.add_argument("--cuts", type=int, default=3, help="how often the connection is cut (default 3)")
    sequences = follow(parser.parse_args())
    if any(later <= earlier for earlier, later in zip(sequences, sequences[1:])):
        raise SystemExit("resume.py: the sequences do not strictly increase")
    print("\n".join(map(str, sequences)))


if __name__ == "__main__":
    main()
