import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";

/** A TCP socket that listens on this machine. */
export interface Listener {
  readonly port: number;
  readonly inode: string;
  /** `any`, `loopback` (127.0.0.1), or another single address. */
  readonly address: "any" | "loopback" | "other";
}

export interface Holder {
  readonly pid: number;
  /** As in `ps`: the program's short name. */
  readonly name: string;
}

const LISTENING = "0A";
const ANY = /^0+$/;
/** 127.0.0.1 as the kernel prints it, also inside IPv6. */
const LOOPBACK = /^(?:0{16}FFFF0000|0000000000000000FFFF0000)?0100007F$/;

/** Reads the tables of `/proc/net/tcp` and `/proc/net/tcp6`. */
export function parseListeners(table: string): readonly Listener[] {
  return table.split("\n").flatMap((line) => {
    const [, local, , state, , , , , , inode] = line.trim().split(/\s+/);
    const [address, port] = (local ?? "").split(":");
    if (state !== LISTENING || address === undefined || port === undefined || inode === undefined) return [];
    const kind = ANY.test(address) ? "any" : LOOPBACK.test(address) ? "loopback" : "other";
    return [{ port: Number.parseInt(port, 16), inode, address: kind }];
  });
}

export function listeners(proc = "/proc"): readonly Listener[] {
  return ["net/tcp", "net/tcp6"].flatMap((name) => parseListeners(readIfThere(join(proc, name)) ?? ""));
}

/** Whether somebody who listens so keeps us from binding the port, on every address or on 127.0.0.1 alone. */
export function takes(listener: Listener, port: number, wanted: "any" | "loopback"): boolean {
  if (listener.port !== port) return false;
  return wanted === "any" || listener.address !== "other";
}

/** The process that holds a socket; undefined where it cannot be seen (not root, another container). */
export function holderOf(inode: string, proc = "/proc"): Holder | undefined {
  const wanted = `socket:[${inode}]`;
  for (const pid of readdirSync(proc).filter((name) => /^\d+$/.test(name))) {
    const folder = join(proc, pid, "fd");
    if (!list(folder).some((fd) => linkOf(join(folder, fd)) === wanted)) continue;
    return { pid: Number(pid), name: (readIfThere(join(proc, pid, "comm")) ?? "?").trim() };
  }
  return undefined;
}

function list(folder: string): readonly string[] {
  try {
    return readdirSync(folder);
  } catch {
    return []; // it ended, or is not ours to see
  }
}

function linkOf(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch {
    return undefined; // closed while we looked
  }
}

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined; // the process ended, or no IPv6 here
  }
}
