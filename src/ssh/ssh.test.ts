import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { after, test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import ssh2, { type Client, type ClientChannel, type ConnectConfig, type SFTPWrapper } from "ssh2";
import { eventually } from "../../test/support/eventually.ts";
import { type Clock, systemClock } from "../lib/clock.ts";
import { silentLogger } from "../lib/logger.ts";
import { SimClock } from "../lib/sim-clock.ts";
import { makeKeyPair } from "./host-key.ts";
import { Ssh } from "./ssh.ts";
import type { Guest, Opened } from "./stage.ts";
import { FakeDoor, FakeSessions } from "./testing.ts";
import type { Tunnel } from "./tunnels.ts";

/** The official CLI makes one of these for each command. */
const keys = ssh2.utils.generateKeyPairSync("rsa", { bits: 2048 });
const others = makeKeyPair(ssh2.utils);
const folders: string[] = [];
after(() => {
  for (const folder of folders) rmSync(folder, { recursive: true });
});

async function world(options: { readonly clock?: Clock; readonly guest?: (tunnel: Tunnel) => boolean } = {}) {
  const folder = mkdtempSync(join(tmpdir(), "stator-ssh-"));
  folders.push(folder);
  const door = await FakeDoor.open();
  const sessions = new FakeSessions();
  const noted: Opened[] = [];
  const guest: Guest = { userEmail: "who@example.com", note: async (what) => void noted.push(what) };
  const ssh = new Ssh({
    door,
    folder,
    sessions,
    guestOf: async (tunnel) => (options.guest?.(tunnel) === false ? undefined : guest),
    clock: options.clock ?? systemClock,
    logger: silentLogger,
  });
  const register = (facts: Partial<Tunnel> = {}) =>
    ssh.register({
      appId: "app",
      dynoId: "dyno-1",
      dynoName: "web.1",
      userId: "user",
      tokenId: "token",
      key: blobOf(keys.public),
      ...facts,
    });
  return {
    ssh,
    door,
    folder,
    sessions,
    noted,
    register,
    async [Symbol.asyncDispose]() {
      await ssh[Symbol.asyncDispose]();
      await door[Symbol.asyncDispose]();
    },
  };
}
type World = Awaited<ReturnType<typeof world>>;

const blobOf = (publicKey: string) => Buffer.from(publicKey.split(" ")[1] ?? "", "base64");

/** A client that is in; rejects when it is not let in. */
function come({ door }: World, username: string, config: ConnectConfig = {}): Promise<Client & Disposable> {
  const client = new ssh2.Client();
  return new Promise((resolve, reject) => {
    client.on("error", reject);
    client.on("ready", () => resolve(Object.assign(client, { [Symbol.dispose]: () => void client.end() })));
    client.connect({ host: "127.0.0.1", port: door.port, username, privateKey: keys.private, ...config });
  });
}

/** With its status, which may come in the same instant as the channel. */
const exec = (client: Client, command: string, options = {}) =>
  new Promise<ClientChannel & { readonly status: Promise<unknown> }>((resolve, reject) => {
    client.exec(command, options, (error, channel) => {
      if (error) return reject(error);
      const status = new Promise((told) => channel.once("exit", told));
      return resolve(Object.assign(channel, { status }));
    });
  });
const forward = (client: Client, host: string, port: number) =>
  new Promise<ClientChannel>((resolve, reject) => {
    client.forwardOut("127.0.0.1", 1, host, port, (error, channel) => (error ? reject(error) : resolve(channel)));
  });
const sftp = (client: Client) =>
  new Promise<SFTPWrapper>((resolve, reject) => {
    client.sftp((error, channel) => (error ? reject(error) : resolve(channel)));
  });
const closed = (what: Client | ClientChannel | Socket) => new Promise<void>((resolve) => what.once("close", resolve));

test("spec 3.7: a command, with what it says on both ways and its status; the host key is the one that was told, and is kept", async () => {
  await using all = await world();
  const { tunnel, hostKey } = await all.register();
  let seen = "";
  using client = await come(all, tunnel.name, {
    hostVerifier: (key: Buffer) => {
      seen = key.toString("base64");
      return true;
    },
  });
  assert.equal(`ssh-ed25519 ${seen}`, hostKey);
  const channel = await exec(client, "ls -l");
  const [out, err, status] = await Promise.all([text(channel), text(channel.stderr), channel.status]);
  assert.deepEqual([out, err, status], ["out ls -l", "err", 7]);
  const [asked] = all.sessions.opened;
  assert.deepEqual(asked, {
    dynoId: "dyno-1",
    command: "ls -l",
    env: {},
    terminal: null,
    attended: { userEmail: "who@example.com" },
  });
  assert.deepEqual(all.noted, [{ command: "ls -l" }]);
  assert.equal(statSync(join(all.folder, "ssh-host-key")).mode & 0o777, 0o600);
  const kept = readFileSync(join(all.folder, "ssh-host-key"), "utf8");
  const again = new Ssh({ ...all, guestOf: async () => undefined, clock: systemClock, logger: silentLogger });
  const facts = { appId: "a", dynoId: "d", dynoName: "web.1", userId: "u", tokenId: "t", key: Buffer.alloc(1) };
  assert.equal((await again.register(facts)).hostKey, hostKey);
  await again[Symbol.asyncDispose]();
  assert.equal(readFileSync(join(all.folder, "ssh-host-key"), "utf8"), kept);
});

test("a session of which nobody saw the end says so, with a status of its own", async () => {
  await using all = await world();
  using client = await come(all, (await all.register()).tunnel.name);
  const channel = await exec(client, "unseen");
  const [, err, status] = await Promise.all([text(channel), text(channel.stderr), channel.status]);
  assert.match(err, /^errThe session broke off, and nobody saw how it ended/);
  assert.equal(status, 255);
});

test("every key that is made can be read", () => {
  for (let n = 0; n < 1000; n++) assert.ok(!(ssh2.utils.parseKey(makeKeyPair(ssh2.utils).private) instanceof Error));
});

test("a terminal: its size, its changes of size, signals; an end of input is waited for before the channel is closed", async () => {
  await using all = await world();
  using client = await come(all, (await all.register()).tunnel.name);
  const channel = await new Promise<ClientChannel>((resolve, reject) => {
    client.shell({ rows: 40, cols: 100, term: "vt100" }, (error, made) => (error ? reject(error) : resolve(made)));
  });
  channel.write("hello");
  let said = "";
  channel.on("data", (chunk: Buffer) => {
    said += chunk.toString();
  });
  await eventually(() => said === "$ hello");
  channel.setWindow(50, 5000, 0, 0);
  channel.signal("INT");

  channel.write("\u0004");
  await closed(channel);
  const [asked] = all.sessions.opened;
  assert.deepEqual(
    [asked?.command, asked?.terminal, asked?.env],
    [["bash"], { rows: 40, columns: 100 }, { TERM: "vt100" }],
  );
  assert.deepEqual(all.sessions.windows, [{ rows: 50, columns: 2000 }]);
  assert.deepEqual(all.sessions.signals, ["INT"]);
});

test("spec 3.7: a command that ends before the official CLI's standard input did: its 0x04 still finds the channel open", async () => {
  await using all = await world();
  using client = await come(all, (await all.register()).tunnel.name);
  const channel = await exec(client, "ls", { pty: true });
  await new Promise((resolve) => channel.once("data", resolve));
  await pause(50);
  assert.equal(channel.writable, true, "it was closed at once");
  const failed = await new Promise((resolve) => {
    channel.write("\u0004", resolve);
  });
  assert.equal(failed ?? undefined, undefined);
  await closed(channel);
});

test("a key opens one session, once; the door is shut after the last", async () => {
  await using all = await world();
  const { tunnel } = await all.register();
  const last = (await all.register()).tunnel;
  using client = await come(all, tunnel.name);
  using second = await come(all, tunnel.name);
  const first = await exec(client, "cat");
  await assert.rejects(exec(second, "cat"), /open failure/i);
  await assert.rejects(exec(client, "cat"), /open failure/i);
  await assert.rejects(forward(client, "localhost", 80), /open failure/i);
  await assert.rejects(come(all, tunnel.name), /authentication/i, "it is used up");
  first.end();
  await closed(first.resume());
  assert.equal(all.door.waiting, 1);
  using third = await come(all, last.name);
  await exec(third, "ls");
  await eventually(() => all.door.waiting === 0);
});

test("whose key it is not, whose name it is not, another key, a password: nobody is let in", async () => {
  await using all = await world();
  const { tunnel } = await all.register();
  const wrong = /authentication/i;
  await assert.rejects(come(all, "0123456789abcdef01234567"), wrong);
  await assert.rejects(come(all, "root"), wrong);
  await assert.rejects(come(all, tunnel.name, { privateKey: others.private }), wrong);
  const password = { privateKey: undefined, password: "secret" } as unknown as ConnectConfig;
  await assert.rejects(come(all, tunnel.name, password), wrong);
  using _in = await come(all, tunnel.name);
});

test("what was allowed when the key was registered is asked again", async () => {
  let allowed = true;
  await using all = await world({ guest: () => allowed });
  const { tunnel } = await all.register();
  allowed = false;
  await assert.rejects(come(all, tunnel.name), /authentication/i);
  allowed = true;
  using _in = await come(all, tunnel.name);
});

test("a key that nobody used is worth nothing after an hour, for a session after a minute; then the door is shut", async () => {
  const clock = new SimClock();
  await using all = await world({ clock });
  const { tunnel } = await all.register();
  await clock.advance(61_000);
  using client = await come(all, tunnel.name);
  await assert.rejects(exec(client, "ls"), /open failure/i);
  const late = (await all.register()).tunnel;
  await clock.advance(3_600_001);
  const again = (await all.register()).tunnel; // holds the door open
  await assert.rejects(come(all, late.name), /authentication/i);
  using _in = await come(all, again.name);
});

test("spec 3.7: forward and socks: a connection for each, dialled from the dyno; 0.0.0.0 is the dyno itself", async () => {
  await using all = await world();
  const { tunnel } = await all.register();
  for (const [host, port, expected] of [
    ["0.0.0.0", 4000, "127.0.0.1:4000"],
    ["localhost", 5000, "127.0.0.1:5000"],
    ["db.internal", 5432, "db.internal:5432"],
  ] as const) {
    using client = await come(all, tunnel.name);
    const channel = await forward(client, host, port);
    channel.write("ping\n");
    channel.end();
    assert.equal(await text(channel), `${expected}\nping\n`);
  }
  assert.deepEqual(all.sessions.asked[0], "connect dyno-1 127.0.0.1:4000");
  assert.deepEqual(all.noted.length, 3);
  using client = await come(all, tunnel.name);
  await assert.rejects(forward(client, "localhost", 9), /open failure/i, "refused in the dyno");
  await assert.rejects(forward(client, "a b; reboot", 80), /open failure/i);
  await assert.rejects(exec(client, "ls"), /open failure/i, "it is a key for ports now");
});

test("nothing listens on our side, no agent, no X11, no socket files", async () => {
  await using all = await world();
  using client = await come(all, (await all.register()).tunnel.name);
  const listen = new Promise((resolve, reject) => {
    client.forwardIn("127.0.0.1", 0, (error, port) => (error ? reject(error) : resolve(port)));
  });
  await assert.rejects(listen, /unable to bind/i);
  const unix = new Promise((resolve, reject) => {
    client.openssh_forwardOutStreamLocal("/run/docker.sock", (error, channel) =>
      error ? reject(error) : resolve(channel),
    );
  });
  await assert.rejects(unix, /open failure|OpenSSH/i);
});

test("spec 3.7: copy: a file of the dyno by SFTP, whole and in its order; what is not there, and writing, are refused", async () => {
  await using all = await world();
  const content = randomBytes(3_000_000);
  all.sessions.files.set("/app/data/file.bin", content);
  using client = await come(all, (await all.register()).tunnel.name);
  const files = await sftp(client);
  const copy = join(all.folder, "copy");
  const get = (name: string) =>
    new Promise<void>((resolve, reject) => {
      files.fastGet(name, copy, (error) => (error ? reject(error) : resolve()));
    });
  await get("data/file.bin");
  assert.ok(readFileSync(copy).equals(content));
  assert.deepEqual(all.noted, [{ file: "/app/data/file.bin" }]);
  assert.equal(all.sessions.asked.length, 1, "it was read once, from its beginning to its end");
  await assert.rejects(get("nowhere"), /no such file/i);
  const done = (run: (callback: (error: unknown, value?: unknown) => void) => void) =>
    new Promise((resolve, reject) => run((error, value) => (error ? reject(error) : resolve(value))));
  const stat = (await done((callback) => files.stat("data/file.bin", callback))) as { size: number; mode: number };
  assert.deepEqual([stat.size, stat.mode & 0o777], [3_000_000, 0o640]);
  assert.equal(await done((callback) => files.realpath(".", callback)), "/app");
  await assert.rejects(
    done((callback) => files.open("new", "w", callback)),
    /read only/i,
  );
  await assert.rejects(
    done((callback) => files.unlink("data/file.bin", callback)),
    /unsupported|unrecognized/i,
  );
  await assert.rejects(
    done((callback) => files.readdir("/", callback)),
    /unsupported|unrecognized/i,
  );
  // Backwards, as often as is let.
  const handle = (await done((callback) => files.open("data/file.bin", "r", callback))) as Buffer;
  const read = (at: number) =>
    done((callback) => files.read(handle, Buffer.alloc(10), 0, 10, at, (error, _n, bytes) => callback(error, bytes)));
  for (const at of [2_000_000, 5, 2_999_990]) {
    assert.deepEqual((await read(at)) as Buffer, content.subarray(at, at + 10));
  }
  const often = async () => {
    for (let n = 0; n < 40; n++) await read(n % 2 === 0 ? 1_000_000 : 5);
  };
  await assert.rejects(often(), /beginning/i);
});

test("a session that cannot be opened says why, and ends with 1", async () => {
  await using all = await world();
  using client = await come(all, (await all.register()).tunnel.name);
  const channel = await exec(client, "refused", { pty: true });
  const [out, status] = await Promise.all([text(channel), channel.status]);
  assert.deepEqual([out, status], ["That dyno does not run.\r\n", 1]);
});

test("a client that goes: what it ran is hung up", async () => {
  await using all = await world();
  const client = await come(all, (await all.register()).tunnel.name);
  await exec(client, "quiet");
  client.destroy();
  await eventually(() => all.sessions.closed > 0);
});

test("hostile: what comes before a handshake, or none, is sent away; others come in meanwhile", async () => {
  const clock = new SimClock();
  await using all = await world({ clock });
  const { tunnel } = await all.register();
  const sockets: Socket[] = [];
  for (const bytes of [
    "",
    "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "SSH-2.0-x\r\n",
    "SSH-1.0-old\r\n",
    "\0".repeat(100_000),
  ]) {
    const socket = connect(all.door.port, "127.0.0.1");
    socket.on("error", () => {}); // sent away
    socket.resume();
    if (bytes !== "") socket.write(bytes);
    sockets.push(socket);
  }
  const garbage = connect(all.door.port, "127.0.0.1");
  garbage.on("error", () => {}); // sent away
  garbage.resume();
  garbage.write("SSH-2.0-evil\r\n");
  garbage.write(randomBytes(200_000));
  sockets.push(garbage);
  using _in = await come(all, tunnel.name);
  const gone = Promise.all(sockets.map(async (socket) => socket.closed || closed(socket)));
  await clock.advance(15_001);
  await gone;
});

test("hostile: no more strangers at once than there is room for, and whoever has a key comes in once they are gone", async () => {
  const clock = new SimClock();
  await using all = await world({ clock });
  const { tunnel } = await all.register();
  const sockets = Array.from({ length: 40 }, () => {
    const socket = connect(all.door.port, "127.0.0.1");
    socket.on("error", () => {}); // sent away
    return socket.resume();
  });
  await eventually(() => sockets.filter(({ closed: isClosed }) => isClosed).length === 24);
  await clock.advance(15_001);
  await eventually(() => sockets.every(({ closed: isClosed }) => isClosed));
  using _in = await come(all, tunnel.name);
});

test("hostile: no more connections and channels of one person than there is room for", async () => {
  await using all = await world();
  const { tunnel } = await all.register();
  const clients: Client[] = [];
  for (let n = 0; n < 32; n++) clients.push(await come(all, tunnel.name));
  await assert.rejects(come(all, tunnel.name), /authentication/i);
  const other = (await all.register({ userId: "another" })).tunnel;
  clients.push(await come(all, other.name));
  const [first] = clients;
  assert.ok(first);
  const channels = await Promise.all(Array.from({ length: 32 }, () => forward(first, "localhost", 80)));
  await assert.rejects(forward(first, "localhost", 80), /open failure/i);
  channels[0]?.end();
  await closed((channels[0] as ClientChannel).resume());
  await eventually(async () => (await forward(first, "localhost", 80).catch(() => undefined)) !== undefined);
  for (const client of clients) client.destroy();
});

test("hostile: who comes in and opens nothing is sent away after a minute", async () => {
  const clock = new SimClock();
  await using all = await world({ clock });
  const client = await come(all, (await all.register()).tunnel.name);
  const gone = closed(client);
  await clock.advance(60_001);
  await gone;
});

test("hostile: a client that takes a wide window and reads nothing holds the dyno back, not us", async () => {
  await using all = await world();
  const client = await come(all, (await all.register()).tunnel.name);
  const channel = await exec(client, "flood");
  widen(channel);
  (client as unknown as { _sock: Socket })._sock.pause();
  await settled(() => all.sessions.flooded);
  assert.ok(all.sessions.flooded < 16 * 1024 * 1024, `${all.sessions.flooded} bytes were taken from the dyno`);
  client.destroy();
});

test("hostile: a client that sends more than it was told it may is sent away", async () => {
  await using all = await world();
  const client = await come(all, (await all.register()).tunnel.name);
  client.on("error", () => {}); // sent away
  const channel = await exec(client, "quiet");
  channel.on("error", () => {}); // sent away
  const gone = closed(client);
  const { outgoing } = channel as unknown as { outgoing: { window: number } };
  let isOpen = true;
  void gone.then(() => {
    isOpen = false;
  });
  for (let n = 0; n < 1_000 && isOpen; n++) {
    outgoing.window = 1 << 30;
    channel.write(Buffer.alloc(60_001)); // the library drops what comes when exactly nothing may
    await pause(0);
  }
  await gone;
});

test("hostile: a client that closes its channel while output comes, and goes on", async () => {
  await using all = await world();
  for (const command of ["flood", "flood errors"]) {
    using client = await come(all, (await all.register()).tunnel.name);
    const channel = await exec(client, command);
    await eventually(() => all.sessions.flooded > 500_000);
    channel.close();
    channel.resume();
    channel.stderr.resume();
    await eventually(() => all.sessions.closed > 0);
    all.sessions.flooded = all.sessions.closed = 0;
  }
  using _in = await come(all, (await all.register()).tunnel.name);
});

test("hostile: what is no SFTP ends the copy and nothing else", async () => {
  await using all = await world();
  for (const bytes of [Buffer.alloc(100_000, 0xff), Buffer.from([0, 0, 0, 1, 99]), Buffer.from([0, 0, 0, 0, 0])]) {
    using client = await come(all, (await all.register()).tunnel.name);
    client.on("error", () => {}); // sent away
    const channel = await new Promise<ClientChannel>((resolve, reject) => {
      client.subsys("sftp", (error, made) => (error ? reject(error) : resolve(made)));
    });
    channel.on("error", () => {}); // sent away
    const gone = Promise.race([closed(channel), closed(client)]);
    channel.resume();
    channel.write(bytes);
    await gone;
  }
  using _in = await come(all, (await all.register()).tunnel.name);
});

test("hostile: a client that asks for files and takes no answer is sent away", async () => {
  await using all = await world();
  const client = await come(all, (await all.register()).tunnel.name);
  client.on("error", () => {}); // sent away
  const gone = closed(client);
  const files = await sftp(client);
  const { incoming } = files as unknown as { incoming: { window: number } };
  incoming.window = 1 << 30; // so that it never gives more
  for (let n = 0; n < 200_000 && !(client as unknown as { _sock: Socket })._sock.destroyed; n++) {
    files.realpath("x".repeat(200), () => {});
    if (n % 500 === 0) await pause(0);
  }
  await gone;
});

/** The client says that it takes as much as there is. */
function widen(channel: ClientChannel): void {
  const { _client: client, outgoing } = channel as unknown as {
    readonly _client: { readonly _protocol: { channelWindowAdjust(id: number, bytes: number): void } };
    readonly outgoing: { readonly id: number };
  };
  client._protocol.channelWindowAdjust(outgoing.id, 2 ** 32 - 1 - 4 * 1024 * 1024);
}

/** Once the number has not risen for a while. */
async function settled(value: () => number): Promise<void> {
  for (let before = -1, same = 0; same < 10; before = value()) {
    same = value() === before ? same + 1 : 0;
    await pause(20);
  }
}
