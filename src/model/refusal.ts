import { DestinationError, parseDestination } from "./destination.ts";

export interface Refusal {
  /** `10.0.0.5:5432`, `[fd00::5]:5432`, or an address alone for what has no ports. */
  readonly destination: string;
  readonly protocol: string;
  /** Whether the app's own egress rules say so, which no operator overrules. */
  readonly byOwner: boolean;
  readonly appName: string;
  /** How `stator` is called on the platform's machine. */
  readonly program: string;
}

/** The line in an app's log for a connection that the network rules refused: with the command that allows it, if one does. */
export function refusalText({ destination, protocol, byOwner, appName, program }: Refusal): string {
  if (byOwner)
    return `Connection to ${destination} (${protocol}) refused by the app's own egress rules (stator egress).`;
  const what = `Connection to ${destination} (${protocol}) refused by the network rules.`;
  return isAllowable(destination)
    ? `${what} To allow it, on the platform's machine: sudo ${program} network:allow ${destination} -a ${appName}`
    : what;
}

function isAllowable(destination: string): boolean {
  try {
    parseDestination(destination);
    return true;
  } catch (error) {
    if (error instanceof DestinationError) return false;
    throw error;
  }
}
