// Socket.IO with connection state recovery.
//   node socketio_server.mjs HTTP_PORT PUBLISH_PORT
// Each line that comes in at PUBLISH_PORT is an event for all clients.
import { createServer } from "node:http";
import net from "node:net";
import { createInterface } from "node:readline";
import { Server } from "socket.io";

const [httpPort, publishPort] = process.argv.slice(2).map(Number);
const host = "127.0.0.1";

const http = createServer();
const io = new Server(http, {
  transports: ["websocket"],
  perMessageDeflate: false,
  // The load client does not answer pings, so none is sent within a run.
  pingInterval: 3_600_000,
  connectionStateRecovery: { maxDisconnectionDuration: 120_000 },
});
http.listen({ host, port: httpPort, backlog: 4096 });

net
  .createServer((publisher) => {
    publisher.on("error", () => publisher.destroy());
    createInterface({ input: publisher }).on("line", (event) => io.emit("e", event));
  })
  .listen(publishPort, host);
