// The classic architecture: Redis behind a WebSocket server on Node.js.
//   node ws_server.mjs WEBSOCKET_PORT REDIS_PORT
// Clients are told "ready" first, and then get one message an event:
//   /published         what is published to the channel "bench"
//   /stored            what is added to the stream "bench.0" from now on, each as "@ID event"
//   /stored?after=ID   and before that, what the stream has after ID
import Redis from "ioredis";
import { WebSocketServer } from "ws";

const [webSocketPort, redisPort] = process.argv.slice(2).map(Number);
const host = "127.0.0.1";
const stream = "bench.0";
const entriesPerRead = 1000;
// A reader whose socket holds more than this waits, as a careful server would make it.
const bufferedBytesMax = 1 << 20;

const channel = new Redis(redisPort, host);
const past = new Redis(redisPort, host);
const head = new Redis(redisPort, host);

const listeners = new Set(); // of the channel
const followers = new Map(); // of the stream: client -> the last id it has
let headId = "0-0"; // the last id that went to the followers

function isAfter(id, other) {
  const [ms, number] = id.split("-").map(Number);
  const [otherMs, otherNumber] = other.split("-").map(Number);
  return ms > otherMs || (ms === otherMs && number > otherNumber);
}

async function followHead() {
  for (;;) {
    const read = await head.xread("COUNT", entriesPerRead, "BLOCK", 1000, "STREAMS", stream, headId);
    if (read === null) continue;
    for (const [id, [, event]] of read[0][1]) {
      headId = id;
      const message = `@${id} ${event}`;
      // Who caught up a moment ago may have this one already.
      for (const [client, last] of followers) if (isAfter(id, last)) client.send(message);
    }
  }
}

// Reads until there is nothing more, and nothing that went to the followers meanwhile: then it is one of them.
async function sendPast(client, after) {
  while (client.readyState === client.OPEN) {
    const read = await past.xread("COUNT", entriesPerRead, "STREAMS", stream, after);
    if (read === null) {
      if (isAfter(headId, after)) continue;
      followers.set(client, after);
      return;
    }
    for (const [id, [, event]] of read[0][1]) {
      client.send(`@${id} ${event}`);
      after = id;
    }
    while (client.bufferedAmount > bufferedBytesMax && client.readyState === client.OPEN) {
      await new Promise((resolve) => setImmediate(resolve));
    }
  }
}

channel.on("messageBuffer", (_, event) => {
  for (const client of listeners) client.send(event, { binary: false });
});
await channel.subscribe("bench");
followHead();

const server = new WebSocketServer({ host, port: webSocketPort, perMessageDeflate: false, backlog: 4096 });
server.on("connection", (client, request) => {
  client.on("error", () => client.terminate());
  client.on("close", () => {
    listeners.delete(client);
    followers.delete(client);
  });
  client.send("ready");
  const url = new URL(request.url, "http://localhost");
  if (url.pathname === "/published") {
    listeners.add(client);
  } else if (url.searchParams.has("after")) {
    const after = url.searchParams.get("after");
    sendPast(client, after.includes("-") ? after : `${after}-0`).catch((error) =>
      client.close(1011, error.message.slice(0, 100)),
    );
  } else {
    followers.set(client, headId);
  }
});
