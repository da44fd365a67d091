// A Node `ws` server that sends frames of one update to everybody, as fast as each of them takes it.
// usage: node baseline_ws.cjs PORT FRAME; FRAME's two @ are replaced by the time. It makes its own ticks, which is in
// its favour: ours come from another process through Redis. `ws` is found through NODE_PATH or node_modules.
const { WebSocketServer } = require("ws");

const [port, frame] = process.argv.slice(2);
const BACKLOG = 65536; // bytes; more that waits in this process would only make it later
const server = new WebSocketServer({ host: "127.0.0.1", port: Number(port), perMessageDeflate: false });

function tick() {
  const now = new Date().toISOString().replace("Z", "000Z"); // microseconds, as the load client reads them
  const data = Buffer.from(frame.replaceAll("@", now));
  for (const client of server.clients) {
    if (client.bufferedAmount < BACKLOG) client.send(data, { binary: false });
  }
  setImmediate(tick);
}

server.on("listening", tick);
