import { createServer } from "node:http";
import prettyMilliseconds from "pretty-ms";

const { PORT = "5000", DYNO = "this machine", GREETING = "Hello from Stator!" } = process.env;
let stopping = false;

const server = createServer((request, response) => {
  // A dyno that stops must not keep the router's connections.
  if (stopping) response.setHeader("Connection", "close");
  request.resume();
  request.on("end", () => {
    const upFor = prettyMilliseconds(process.uptime() * 1000);
    response.setHeader("Content-Type", "text/plain; charset=utf-8");
    response.end(`${GREETING}\n\n${DYNO}, process ${process.pid}, up for ${upFor}\n`);
  });
});

// Longer than the router keeps a connection that nobody uses: the router should be the one to close it.
server.keepAliveTimeout = 100_000;
server.listen(Number(PORT), () => console.log(`listening on port ${PORT}`));

// SIGTERM: take no new connections, finish the requests that are under way, then end.
process.on("SIGTERM", () => {
  console.log("stopping: finishing requests");
  stopping = true;
  server.close(() => process.exit(0));
  setInterval(() => server.closeIdleConnections(), 50);
});
