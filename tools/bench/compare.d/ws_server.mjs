// The classic architecture: Redis behind a WebSocket server on Node.js.
//   node ws_server.mjs WEBSOCKET_PORT REDIS_PORT
// A client of /new gets what is published to the channel "bench", one of /all reads the stream "bench.0" from its
// first entry. Each is told "ready" first, and then gets one message an event.
import Redis from "ioredis";
import { WebSocketServer } from "ws";

const [webSocketPort, redisPort] = process.argv.slice(2).map(Number);
const host = "127.0.0.1";
const entriesPerRead = 1000;
// A reader whose socket holds more than this waits, as a careful server would make it.
const bufferedBytesMax = 1 << 20;

const reader = new Redis(redisPort, host);
const channel = new Redis(redisPort, host);
const live = new Set();

channel.on("messageBuffer", (_, event) => {
  for (const client of live) client.send(event, { binary: false });
});
await channel.subscribe("bench");

async function sendStored(client) {
  for (let after = "0"; client.readyState === client.OPEN; ) {
    const read = await reader.xread("COUNT", entriesPerRead, "STREAMS", "bench.0", after);
    if (read === null) return;
    for (const [id, [, event]] of read[0][1]) {
      client.send(event);
      after = id;
    }
    while (client.bufferedAmount > bufferedBytesMax && client.readyState === client.OPEN) {
      await new Promise((resolve) => setImmediate(resolve));
    }
  }
}

const server = new WebSocketServer({ host, port: webSocketPort, perMessageDeflate: false, backlog: 4096 });
server.on("connection", (client, request) => {
  client.on("error", () => client.terminate());
  client.on("close", () => live.delete(client));
  client.send("ready");
  if (request.url === "/all") {
    sendStored(client).catch((error) => client.close(1011, error.message.slice(0, 100)));
  } else {
    live.add(client);
  }
});
