/**
 * Where an installation's SSH listener for `ps:exec` of the official CLI stands. That client dials port 80 and nothing else
 * (platform-api 3.7), so each installation has a loopback address of its own, made from its id.
 */
export const EXEC_PORT = 80;

/** 127.x.y.z from an instance's six hex digits; never in 127.0.0.0/16, where the machine's own names lie. Pure. */
export function execAddressOf(instanceId: string): string {
  const [first = 0, second = 0, third = 0] = [0, 2, 4].map((at) => Number.parseInt(instanceId.slice(at, at + 2), 16));
  return [127, 64 + (first % 128), second, third].join(".");
}

/** Whether it may be chosen by a setting: an address of this machine alone, which is not one that programs use anyway. */
export function isExecAddress(text: string): boolean {
  const parts = text.split(".");
  const isDotted =
    parts.length === 4 && parts.every((part) => /^(?:0|[1-9]\d{0,2})$/.test(part) && Number(part) <= 255);
  return isDotted && parts[0] === "127" && parts[1] !== "0" && text !== "127.255.255.255";
}
