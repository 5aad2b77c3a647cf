import type { DynoKind } from "../../model/dyno.ts";

/** A network namespace with one routed address, ready for a dyno; never used by two. */
export interface DynoNetwork {
  readonly index: number;
  /** For the runtime's `namespaces` entry of type `network`. */
  readonly netnsPath: string;
  readonly address: string;
  /** Also the dyno's only name server: the dyno's `resolv.conf` names it. */
  readonly gateway: string;
}

export type RefusedProtocol = "tcp" | "udp" | "other";

export interface NetworkPool extends AsyncDisposable {
  /** A namespace out of the pool; waits for one to be made when the pool is empty. */
  take(kind: DynoKind): Promise<DynoNetwork>;
  /**
   * Takes over the namespace of a dyno that outlived the last host process. To be called for all of them after
   * `openNetwork`, before the first `take`: what is not adopted then and was in use is destroyed.
   */
  adopt(index: number, kind: DynoKind): DynoNetwork;
  /** Destroys the namespace. Repeatable. */
  release(index: number): Promise<void>;
  /** Refused connections of dynos, at most one a minute for each dyno and destination (`10.0.0.5:5432`). */
  onRefused(listener: (index: number, destination: string, protocol: RefusedProtocol) => void): Disposable;
}
