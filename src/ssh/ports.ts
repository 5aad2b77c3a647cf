import type { ServerChannel } from "ssh2";
import { PlatformError } from "../model/errors.ts";
import type { Endpoint } from "../run/sessions.ts";
import { sendAll } from "./channel.ts";
import { bytesHeld, type Stage } from "./stage.ts";

export interface Ports {
  open(to: Endpoint, accept: () => ServerChannel, reject: () => void): void;
}

/** Connections of one client that are open, or being opened. */
const CHANNELS_MAX = 32;
/** `ps:forward` asks for 0.0.0.0 and means the dyno (platform-api 3.7). */
const ITSELF: readonly string[] = ["0.0.0.0", "::", "::1", "localhost", ""];
const HOST = /^[\w.:-]{1,253}$/;

/**
 * Connections to ports, dialled from inside the dyno: what it can reach is reached, and nothing else. The first of a client is
 * in the audit log.
 */
export function servePorts(stage: Stage, buffers: Set<() => number>): Ports {
  const { sessions, tunnel, guest, gone, logger } = stage;
  let open = 0;
  let noted: Promise<void> | undefined;

  async function serve(to: Endpoint, accept: () => ServerChannel): Promise<void> {
    noted ??= guest.note({ connect: `${to.host}:${to.port}` });
    await noted;
    const far = await sessions.connect(tunnel.dynoId, to, gone);
    if (gone.aborted) return far.close();
    const channel = accept();
    const held = () => bytesHeld(channel);
    buffers.add(held);
    const closed = new Promise<void>((resolve) => channel.once("close", resolve));
    channel.on("error", () => {}); // told by `close`
    far.writable.on("error", () => channel.resume()); // the dyno takes no more: what comes goes nowhere
    channel.pipe(far.writable);
    try {
      await sendAll(far.readable, channel, stage);
      channel.end();
      await closed;
    } finally {
      buffers.delete(held);
      channel.close();
      far.close();
    }
  }

  return {
    open({ host, port }, accept, reject) {
      const to = { host: ITSELF.includes(host) ? "127.0.0.1" : host, port };
      if (open >= CHANNELS_MAX || !HOST.test(to.host) || port < 1 || port > 65_535) return reject();
      open++;
      serve(to, accept)
        .catch((error: unknown) => {
          if (!(error instanceof PlatformError) && !gone.aborted) logger.error("ssh.port_failed", { error });
          reject(); // does nothing where it was accepted
        })
        .finally(() => {
          open--;
        });
    },
  };
}
