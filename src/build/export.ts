import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createGzip } from "node:zlib";
import { extract, type Header, type Pack, pack } from "tar-stream";
import { unreachable } from "../lib/unreachable.ts";
import type { App } from "../model/app.ts";
import { BASE_ENVIRONMENT, bootArguments, DYNO_UID } from "../model/boot.ts";
import { PlatformError } from "../model/errors.ts";
import type { Release, Slug } from "../model/release.ts";
import type { Store } from "../store/store.ts";
import type { SlugFiles } from "./slugs.ts";

export interface ExportOptions {
  readonly app: App;
  readonly release: Release;
  readonly store: Store;
  readonly slugs: SlugFiles;
  /** Folder of the stacks' trees: `<stack>.tar`. */
  readonly stackTar: string;
}

/** A blob of an image: its digest, its size, and a way to read it as often as it takes. */
interface Blob {
  readonly digest: string;
  readonly size: number;
  readonly read: () => Readable | Buffer;
}

const LAYER = "application/vnd.oci.image.layer.v1.tar";
const CONFIG = "application/vnd.oci.image.config.v1+json";
const MANIFEST = "application/vnd.oci.image.manifest.v1+json";
const EPOCH = new Date(0);
/** Where a web process listens when nobody says otherwise. */
const DEFAULT_PORT = "8080";

/**
 * The release as a standard OCI image layout in a tar, which podman, docker and skopeo load: the stack, then the slug below
 * `/app`. The same release gives the same bytes. Config vars are not in it: they are secrets, and are given where it runs.
 */
export async function exportImage(options: ExportOptions): Promise<Readable> {
  const { app, release, store } = options;
  const slug = release.slugId === null ? undefined : await store.slugs.byId(release.slugId);
  if (!slug)
    throw new PlatformError("invalid_params", `Release v${release.version} of ${app.name} has no slug to export.`);
  const layers = [await stackLayer(options.stackTar, slug.stack), await slugLayer(options.slugs, slug.digest)];
  const config = json(imageConfig(app, release, slug, layers));
  const manifest = json(imageManifest(config, layers));
  const index = json(imageIndex(app, release, manifest));
  const archive = pack();
  write(archive, [...layers, config, manifest], index).catch((error: unknown) =>
    archive.destroy(error instanceof Error ? error : new Error(String(error))),
  );
  return archive as unknown as Readable; // streamx's Readable has all of Node's that `pipe`, `pipeline` and `for await` use
}

async function write(archive: Pack, blobs: readonly Blob[], index: Blob): Promise<void> {
  await addEntry(archive, "oci-layout", Buffer.from('{"imageLayoutVersion":"1.0.0"}'));
  archive.entry({ name: "blobs/", type: "directory", mode: 0o755, mtime: EPOCH });
  archive.entry({ name: "blobs/sha256/", type: "directory", mode: 0o755, mtime: EPOCH });
  for (const blob of blobs) await addEntry(archive, `blobs/sha256/${blob.digest}`, blob.read(), blob.size);
  await addEntry(archive, "index.json", index.read());
  archive.finalize();
}

async function addEntry(archive: Pack, name: string, content: Readable | Buffer, size?: number): Promise<void> {
  const bytes = size ?? (Buffer.isBuffer(content) ? content.length : 0);
  const entry = archive.entry({ name, size: bytes, mode: 0o644, mtime: EPOCH });
  await pipeline(Buffer.isBuffer(content) ? [content] : content, entry);
}

function imageConfig(app: App, release: Release, slug: Slug, layers: readonly Blob[]): unknown {
  const types = Object.entries(slug.processTypes);
  const command = slug.processTypes["web"] ?? types[0]?.[1] ?? "/bin/bash";
  const labels = {
    "org.opencontainers.image.title": app.name,
    "org.opencontainers.image.version": `v${release.version}`,
    ...(slug.commit !== null && { "org.opencontainers.image.revision": slug.commit }),
    "dev.stator.release": `v${release.version}`,
    "dev.stator.stack": slug.stack,
    ...Object.fromEntries(types.map(([type, line]) => [`dev.stator.process.${type}`, line])),
  };
  return {
    created: new Date(release.createdAt).toISOString(),
    architecture: process.arch === "x64" ? "amd64" : process.arch,
    os: "linux",
    config: {
      User: `${DYNO_UID}:${DYNO_UID}`,
      Env: Object.entries({ ...BASE_ENVIRONMENT, PORT: DEFAULT_PORT }).map(([name, value]) => `${name}=${value}`),
      Entrypoint: bootArguments(command).slice(0, -1),
      Cmd: bootArguments(command).slice(-1),
      WorkingDir: "/app",
      Labels: sorted(labels),
      StopSignal: "SIGTERM",
    },
    rootfs: { type: "layers", diff_ids: layers.map((layer) => `sha256:${layer.digest}`) },
    history: [
      { created: EPOCH.toISOString(), created_by: `stack ${slug.stack}` },
      { created: new Date(release.createdAt).toISOString(), created_by: `${app.name} v${release.version}` },
    ],
  };
}

function imageManifest(config: Blob, layers: readonly Blob[]): unknown {
  return {
    schemaVersion: 2,
    mediaType: MANIFEST,
    config: { mediaType: CONFIG, digest: `sha256:${config.digest}`, size: config.size },
    layers: layers.map((layer) => ({ mediaType: LAYER, digest: `sha256:${layer.digest}`, size: layer.size })),
  };
}

function imageIndex(app: App, release: Release, manifest: Blob): unknown {
  const name = `${app.name}:v${release.version}`;
  return {
    schemaVersion: 2,
    mediaType: "application/vnd.oci.image.index.v1+json",
    manifests: [
      {
        mediaType: MANIFEST,
        digest: `sha256:${manifest.digest}`,
        size: manifest.size,
        // podman names the loaded image by the first, docker by the second.
        annotations: { "org.opencontainers.image.ref.name": name, "io.containerd.image.name": `localhost/${name}` },
      },
    ],
  };
}

async function stackLayer(folder: string, stack: string): Promise<Blob> {
  if (!/^[a-z]+-\d+$/.test(stack)) throw new Error(`no name of a stack: ${stack}`);
  const path = join(folder, `${stack}.tar`);
  const { size, mtimeMs } = await stat(path);
  const key = `${path} ${size} ${mtimeMs}`;
  const digest = stackDigests.get(key) ?? (await digestOf(createReadStream(path))).digest;
  stackDigests.set(key, digest);
  return { digest, size, read: () => createReadStream(path) };
}

/** A stack is some 200 MB and changes a few times a year. */
const stackDigests = new Map<string, string>();

async function slugLayer(slugs: SlugFiles, digest: string): Promise<Blob> {
  const read = (): Readable => reroot(slugs.read(digest));
  const { digest: layerDigest, size } = await digestOf(read());
  return { digest: layerDigest, size, read };
}

/** The slug as Heroku's are: a gzipped tar of `app/`. */
export function slugArchive(slugs: SlugFiles, digest: string): Readable {
  const gzip = createGzip({ level: 1 });
  pipeline(Readable.from(reroot(slugs.read(digest)), { objectMode: false }), gzip).catch((error: unknown) =>
    gzip.destroy(error instanceof Error ? error : new Error(String(error))),
  );
  return gzip;
}

/** The slug's tree below `app/`, owned by the dyno's user. Piece by piece: nothing is unpacked. */
export function reroot(slug: Readable): Readable {
  const layer = pack();
  const source = extract();
  const copy = async (): Promise<void> => {
    const reading = pipeline(slug, source);
    reading.catch(() => {}); // thrown by the loop or below
    for await (const entry of source) {
      const headers = rerooted(entry.header);
      if (headers === undefined) entry.resume();
      else if (headers.type === "file") await pipeline(entry, layer.entry(headers));
      else {
        layer.entry(headers);
        entry.resume();
      }
    }
    await reading;
    layer.finalize();
  };
  copy().catch((error: unknown) => layer.destroy(error instanceof Error ? error : new Error(String(error))));
  return layer as unknown as Readable; // see exportImage
}

type EntryHeader = Partial<Header> & Pick<Header, "name">;

/** The same entry below `app/`; undefined for what an image need not hold. A build made the names: they are a stranger's. */
function rerooted({ name, type, mode, size, linkname }: Header): EntryHeader | undefined {
  const plain = { mtime: EPOCH, uid: DYNO_UID, gid: DYNO_UID, mode: mode & 0o777 };
  const path = below(name);
  switch (type) {
    case "file":
    case "contiguous-file":
      return { ...plain, name: path, type: "file", size };
    case "directory":
      return { ...plain, name: `${path}/`, type };
    case "symlink":
      return { ...plain, name: path, type, linkname };
    case "link":
      return { ...plain, name: path, type, linkname: below(linkname) };
    case "block-device":
    case "character-device":
    case "fifo":
      return undefined;
    default:
      return unreachable(type);
  }
}

function below(name: string): string {
  const parts = name.split("/").filter((part) => part !== "" && part !== ".");
  if (parts.includes("..")) throw new Error("a name of the slug leads out of it");
  return ["app", ...parts].join("/");
}

async function digestOf(stream: Readable): Promise<{ readonly digest: string; readonly size: number }> {
  const hash = createHash("sha256");
  let size = 0;
  for await (const chunk of stream) {
    const bytes = chunk as Buffer; // no encoding is set
    hash.update(bytes);
    size += bytes.length;
  }
  return { digest: hash.digest("hex"), size };
}

function json(value: unknown): Blob {
  const bytes = Buffer.from(JSON.stringify(value));
  return { digest: createHash("sha256").update(bytes).digest("hex"), size: bytes.length, read: () => bytes };
}

function sorted(labels: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : 1)));
}
