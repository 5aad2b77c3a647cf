import type { Destination } from "../../model/destination.ts";

/** What the machine's operator allowed apps (`stator network:allow`); only root can change it. */
export interface AppAllow {
  /** Throws where it cannot be read or makes no sense; then what was read before goes on to hold. */
  read(): Promise<AllowedByApp>;
  /** Calls when it may have changed; it is read again from time to time besides. */
  watch(listener: () => void): Disposable;
  /** Told once the rules say what was read. */
  applied(allowed: AllowedByApp): Promise<void>;
  /** The app is gone. Repeatable. */
  forget(appId: string): Promise<void>;
}

export interface AllowedByApp {
  readonly apps: ReadonlyMap<string, readonly Destination[]>;
  /** Another one for each content. */
  readonly version: string;
}
