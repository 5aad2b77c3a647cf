import { once } from "node:events";
import { createWriteStream, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { connect, createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import { execPath, exit } from "node:process";
import type { Writable } from "node:stream";
import { finished } from "node:stream/promises";
import { checkArchive, fetchFile } from "./archive.ts";
import { BuildFailed, compile, type Source } from "./compile.ts";
import { drained, type Frame, FrameWriter, readFrames } from "./frames.ts";
import type { HookCall } from "./hook.ts";
import { type ArchiveJob, type GitJob, parseGo, parseJob, parseVerdict } from "./messages.ts";
import { type Places, placesFrom } from "./places.ts";
import { killAll, startProgram, statusOf } from "./processes.ts";
import { gitEnvironment, pointHead, prepareRepository, repositoryBytesOf, settings } from "./repository.ts";
import { sendTree } from "./slug-tar.ts";
import { parseUpdates, planPush } from "./updates.ts";

/**
 * Runs in a build dyno: one run of git for one HTTP request, and for a push the build that git's pre-receive hook waits for; or
 * the build of one archive.
 * It says what it sees and does what it is told; whether the push is accepted is the daemon's to decide. When the daemon goes,
 * everything ends, and git throws away what was pushed.
 */
class Driver {
  readonly #places: Places;
  readonly #daemon: FrameWriter;
  readonly #frames: AsyncGenerator<Frame, void>;
  /** Answers of the daemon that the build waits for, in order. */
  readonly #answers: Frame[] = [];
  #wake: (() => void) | undefined;
  #input: Writable | undefined;
  #hook: FrameWriter | undefined;
  readonly #refused = new AbortController();
  readonly #judged = Promise.withResolvers<void>();
  #built: string | undefined;
  #isPushed = false;

  constructor(places: Places, socket: Socket) {
    this.#places = places;
    this.#daemon = new FrameWriter(socket);
    this.#frames = readFrames(socket);
  }

  async run(): Promise<void> {
    const first = await this.#frames.next();
    if (first.done) return;
    const job = parseJob(first.value);
    const status = await this.#do(job);
    const { repository } = this.#places;
    const repositoryBytes = this.#isPushed ? await repositoryBytesOf(repository) : null;
    await this.#daemon.sendJson("exit", { status, repositoryBytes });
  }

  async #do(job: ReturnType<typeof parseJob>): Promise<number> {
    if (job.service === "purge-cache") return emptyFolder(this.#places.cache);
    if ("url" in job) return this.#buildArchive(job);
    await prepareRepository(this.#places.repository);
    const status = await this.#runGit(job);
    if (status === 0 && this.#built !== undefined) await pointHead(this.#places.repository, this.#built);
    this.#isPushed = job.service === "git-receive-pack" && !job.advertise;
    return status;
  }

  /** The archive comes from the daemon, or is fetched; then it is built, or taken as the slug that it is. */
  async #buildArchive({ service, url, sha256, version }: ArchiveJob): Promise<number> {
    const archive = join(mkdtempSync(join(this.#places.work, "archive-")), "archive");
    const input = createWriteStream(archive);
    this.#input = input;
    const received = finished(input);
    received.catch(() => {}); // told when it is waited for
    void this.#listenToDaemon();
    const building = this.#build(null, async () => {
      if (url === null) await received;
      else await fetchFile(url, archive, "The archive");
      await checkArchive(archive, sha256);
      return { kind: service, archive, version };
    });
    await Promise.race([building, this.#judged.promise]); // the verdict may come at any point
    await this.#judged.promise;
    return 0;
  }

  async #runGit(job: GitJob): Promise<number> {
    const { repository, buildkit, work } = this.#places;
    const folder = mkdtempSync(join(work, "hook-"));
    const hookSocket = join(folder, "hook.sock");
    const hooks = await this.#listen(hookSocket);
    const mode = job.advertise ? ["--stateless-rpc", "--advertise-refs"] : ["--stateless-rpc"];
    const git = startProgram(
      "git",
      [...settings(join(buildkit, "hooks")), job.service.replace(/^git-/, ""), ...mode, repository],
      {
        env: {
          ...gitEnvironment(folder),
          ...(job.protocol !== null && { GIT_PROTOCOL: job.protocol }),
          STATOR_NODE: execPath,
          STATOR_BUILDKIT: buildkit,
          STATOR_HOOK_SOCKET: hookSocket,
        },
        stdio: ["pipe", "pipe", "inherit"],
      },
    );
    const ended = statusOf(git);
    this.#input = git.stdin ?? undefined;
    this.#input?.on("error", () => {}); // git leaves when it has what it needs; its status tells
    if (job.advertise) this.#input?.end();
    void this.#listenToDaemon();
    if (git.stdout) for await (const chunk of git.stdout) await this.#daemon.sendBytes("git", chunk as Buffer); // no encoding set
    const status = await ended;
    hooks.close();
    return status;
  }

  /** Everything that the daemon says after the job. Its end is ours. */
  async #listenToDaemon(): Promise<void> {
    try {
      for await (const frame of this.#frames) await this.#take(frame);
    } catch {
      // the connection broke: the same as its end
    }
    leave(1);
  }

  async #take(frame: Frame): Promise<void> {
    if (frame.kind === "input") return this.#feed(frame.payload);
    if (frame.kind === "inputEnd") return void this.#input?.end();
    if (frame.kind === "say") return this.#hook?.sendBytes("say", frame.payload);
    if (frame.kind === "verdict") {
      const { accepted } = parseVerdict(frame);
      if (!accepted) this.#refused.abort();
      this.#judged.resolve();
      await this.#hook?.sendJson("verdict", { accepted });
      return;
    }
    this.#answers.push(frame);
    this.#wake?.();
  }

  async #feed(bytes: Buffer): Promise<void> {
    const input = this.#input;
    if (!input || input.destroyed || input.write(bytes)) return;
    await drained(input).catch(() => {}); // git wants no more
  }

  async #answer(): Promise<Frame> {
    for (;;) {
      const frame = this.#answers.shift();
      if (frame) return frame;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  async #listen(path: string): Promise<Server> {
    const server = createServer({ allowHalfOpen: true }, (socket) => {
      server.close(); // git asks once
      socket.on("error", () => {});
      void this.#judge(socket).catch(() => socket.destroy());
    });
    server.listen(path);
    await once(server, "listening");
    return server;
  }

  /** Git's hook asks whether these refs may move. */
  async #judge(socket: Socket): Promise<void> {
    // The pack is in; what else the client sends nobody reads, and it must not keep the daemon's answers from us.
    this.#input?.destroy();
    this.#hook = new FrameWriter(socket);
    let text = "";
    for await (const chunk of socket.setEncoding("utf8").iterator({ destroyOnReturn: false })) text += String(chunk);
    const call = JSON.parse(text) as HookCall; // our own hook's words
    const plan = planPush(parseUpdates(call.updates));
    if (plan.lines.length > 0) await this.#hook.sendBytes("say", `${plan.lines.join("\n")}\n`);
    if (plan.kind !== "build") return this.#hook.sendJson("verdict", { accepted: plan.kind === "store" });
    this.#built = plan.ref;
    const gitEnv = { ...gitEnvironment(this.#places.work), ...call.env, GIT_DIR: this.#places.repository };
    await this.#build(plan.commit, async () => ({ kind: "commit", commit: plan.commit, gitEnv }));
  }

  /** Builds what `sourceOf` gives and sends the tree to the daemon, which then sends the verdict. */
  async #build(commit: string | null, sourceOf: () => Promise<Source>): Promise<void> {
    await this.#daemon.sendJson("build", { commit });
    const go = parseGo(await this.#answer());
    try {
      const { compiled, tree } = await compile({
        places: this.#places,
        source: await sourceOf(),
        go,
        say: (bytes) => this.#say(bytes),
        signal: this.#refused.signal,
      });
      await this.#daemon.sendJson("compiled", compiled);
      await this.#answer(); // send
      await sendTree(tree, this.#daemon);
    } catch (error) {
      if (this.#refused.signal.aborted) return; // the verdict is there already
      const lines = error instanceof BuildFailed ? error.lines : [`The build stopped: ${String(error)}`];
      await this.#say(lines.map((line) => ` !     ${line}\n`).join(""));
      await this.#daemon.send("failed");
    }
  }

  /** To the pusher, and to the daemon for the build's kept output. */
  async #say(bytes: Uint8Array | string): Promise<void> {
    await this.#daemon.sendBytes("text", bytes);
    await this.#hook?.sendBytes("say", bytes).catch(() => {}); // the pusher may be gone; the daemon notices
  }
}

function emptyFolder(folder: string): number {
  for (const name of readdirSync(folder)) rmSync(join(folder, name), { recursive: true, force: true });
  return 0;
}

function leave(status: number): never {
  killAll();
  return exit(status);
}

process.umask(0o022);
process.on("SIGTERM", () => leave(143));
const places = placesFrom(process.env);
const socket = connect(places.socket);
socket.on("error", () => leave(1));
await once(socket, "connect");
await new Driver(places, socket).run();
// The daemon closes once it has read all; leaving earlier could cut off what is still on its way.
socket.end();
await once(socket, "close");
leave(0);
