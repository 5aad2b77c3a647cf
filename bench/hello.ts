import { createServer } from "node:http";

/** The trivial app: what a first Node.js app is. `node bench/hello.ts ADDRESS PORT` */
const [address, port] = process.argv.slice(2);
createServer({ keepAliveTimeout: 90_000 }, (_request, response) => {
  response.setHeader("Content-Type", "text/plain");
  response.end("hello\n");
}).listen(Number(port), address);
