import { readFileSync } from "node:fs";
import { createServer } from "node:net";

/** Below it are the ports of some tests' own. */
const FIRST = 20_000;
const given = new Set<number>();

/**
 * A port on which nobody listens now, at any address. None of those that the kernel gives to outgoing connections: one of
 * these could have it by the time that a router or an API comes back to it.
 */
export async function freePort(): Promise<number> {
  const [lowest = 32_768] = readFileSync("/proc/sys/net/ipv4/ip_local_port_range", "utf8").split(/\s+/).map(Number);
  const count = lowest - FIRST;
  for (let tries = 0; tries < 100 && count > 1000; tries++) {
    const port = FIRST + Math.floor(Math.random() * count);
    if (given.has(port) || !(await canListen(port))) continue;
    given.add(port);
    return port;
  }
  throw new Error(`no free port from ${FIRST} to ${lowest}`);
}

function canListen(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen(port, "0.0.0.0", () => server.close(() => resolve(true)));
  });
}
