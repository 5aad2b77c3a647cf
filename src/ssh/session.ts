import type { PseudoTtyInfo, ServerChannel, Session } from "ssh2";
import { addAbortListener } from "../lib/abort.ts";
import { PlatformError } from "../model/errors.ts";
import { type DynoProcess, SESSION_SIGNALS, type SessionRequest, UNSEEN, type Window } from "../run/sessions.ts";
import { sendAll } from "./channel.ts";
import { serveFiles } from "./files.ts";
import { bytesHeld, repliesHeld, type Stage } from "./stage.ts";

const SIDE_MAX = 2000;
const COMMAND_BYTES_MAX = 64 * 1024;
const COMMAND_TOLD = 300;
const TERM = /^[\w.+-]{1,64}$/;
/**
 * The official CLI types an end of input when its own standard input has ended, and falls over where the channel was closed
 * before (platform-api 3.7): so long it is waited for.
 */
const INPUT_END_MS = 1_000;
const OFFICIAL = /^ssh2js/;
const END_OF_TRANSMISSION = 4;

/** What a client does in a dyno: a terminal, a command, or the reading of files; one of them. */
export function serveSession(session: Session, stage: Stage, buffers: Set<() => number>): void {
  let terminal: (Window & { readonly term: string }) | null = null;
  let process: DynoProcess | undefined;
  let isTaken = false;

  session.on("pty", (accept, _reject, info) => {
    terminal = { ...windowOf(info), term: TERM.test(info.term) ? info.term : "xterm" };
    accept?.(); // absent where no answer is wanted
  });
  session.on("window-change", (accept, _reject, info) => {
    process?.resize(windowOf(info));
    accept?.();
  });
  session.on("signal", (accept, _reject, { name }) => {
    const signal = SESSION_SIGNALS.find((each) => each === name);
    if (signal) process?.signal(signal);
    accept?.();
  });
  session.on("shell", (accept, reject) => take(accept, reject, ["bash"]));
  session.on("exec", (accept, reject, { command }) => take(accept, reject, command));
  session.on("sftp", (accept, reject) => {
    if (isTaken) return reject();
    isTaken = true;
    const sftp = accept();
    const held = () => repliesHeld(sftp);
    buffers.add(held);
    sftp.once("end", () => buffers.delete(held));
    return serveFiles(sftp, stage);
  });

  function take(accept: () => ServerChannel, reject: () => void, command: SessionRequest["command"]): void {
    if (isTaken || Buffer.byteLength(String(command)) > COMMAND_BYTES_MAX || command.includes("\0")) return reject();
    isTaken = true;
    const channel = accept();
    const held = () => bytesHeld(channel);
    buffers.add(held);
    serve(channel, command)
      .catch((error: unknown) => tell(channel, error))
      .finally(() => buffers.delete(held));
  }

  async function serve(channel: ServerChannel, command: SessionRequest["command"]): Promise<void> {
    const { sessions, tunnel, guest, gone } = stage;
    const told = typeof command === "string" ? command : command.join(" ");
    for (const side of [channel, channel.stderr]) side.on("error", () => {}); // told by `close`
    await guest.note({ command: told.slice(0, COMMAND_TOLD) });
    process = await sessions.open(
      tunnel.dynoId,
      {
        command,
        env: terminal === null ? {} : { TERM: terminal.term },
        terminal: terminal === null ? null : { rows: terminal.rows, columns: terminal.columns },
        attended: { userEmail: guest.userEmail },
      },
      gone,
    );
    await carry(channel, process, terminal !== null);
  }

  /** Until the process has ended and all is given, or the client has gone: then the process is hung up. */
  async function carry(channel: ServerChannel, running: DynoProcess, hasTerminal: boolean): Promise<void> {
    const { gone, clock, software } = stage;
    const hangUp = () => running.close();
    using _gone = addAbortListener(gone, hangUp);
    channel.once("close", hangUp);
    const inputEnded = new Promise<void>((resolve) => {
      channel.on("data", (chunk: Buffer) => chunk.includes(END_OF_TRANSMISSION) && resolve());
      channel.once("end", resolve);
      channel.once("close", resolve);
    });
    running.stdin.on("error", () => channel.resume()); // it takes no more: what comes goes nowhere
    channel.pipe(running.stdin);
    await Promise.all([sendAll(running.stdout, channel, stage), sendAll(running.stderr, channel.stderr, stage)]);
    const status = await running.exited;
    channel.off("close", hangUp);
    if (hasTerminal && OFFICIAL.test(software)) {
      const enough = new AbortController();
      using _enough = addAbortListener(gone, () => enough.abort());
      const limit = clock.sleep(INPUT_END_MS, enough.signal).catch(() => {}); // it came
      await Promise.race([inputEnded, limit]);
      enough.abort();
    }
    if (status === null && !gone.aborted) say(channel, UNSEEN);
    channel.exit(status ?? 255);
    channel.end();
  }

  /** The session's end, in words; with a terminal the official client shows nothing but its output. */
  function tell(channel: ServerChannel, error: unknown): void {
    const { gone, logger } = stage;
    if (!(error instanceof PlatformError) && !gone.aborted) logger.error("ssh.session_failed", { error });
    const message = error instanceof PlatformError ? error.message : "The session could not be opened.";
    say(channel, message);
    channel.exit(1);
    channel.end();
  }

  function say(channel: ServerChannel, words: string): void {
    if (terminal === null) channel.stderr.write(`${words}\n`);
    else channel.write(`${words}\r\n`);
  }
}

function windowOf({ rows, cols }: Pick<PseudoTtyInfo, "rows" | "cols">): Window {
  const side = (value: number, byDefault: number) => (value < 1 ? byDefault : Math.min(value, SIDE_MAX));
  return { rows: side(rows, 24), columns: side(cols, 80) };
}
