import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { DestinationError, isOnInternet, parseDestination, withoutNested } from "./destination.ts";

test("an address or a block, with a port or without", () => {
  const shown = (text: string) => {
    const { where, isExact, port } = parseDestination(text);
    return [where, isExact, port];
  };
  assert.deepEqual(shown("10.0.0.5:5432"), ["10.0.0.5", true, 5432]);
  assert.deepEqual(shown("169.254.169.254"), ["169.254.169.254", true, null]);
  assert.deepEqual(shown("10.0.0.0/8"), ["10.0.0.0/8", false, null]);
  assert.deepEqual(shown("192.168.0.0/16:443"), ["192.168.0.0/16", false, 443]);
});

test("mail, refused everywhere, may be allowed everywhere", () => {
  for (const text of ["8.8.8.8:25", "8.0.0.0/8:25", "0.0.0.0/0:25", "10.0.0.5:25"])
    assert.equal(parseDestination(text).port, 25);
});

test("an address of the internet may be the host's own: whoever knows that decides", () => {
  assert.ok(isOnInternet(parseDestination("8.8.8.8:443")));
  for (const text of ["8.8.8.8:25", "10.0.0.5", "192.168.0.0/16:443"]) assert.ok(!isOnInternet(parseDestination(text)));
});

const REFUSED: readonly (readonly [text: string, why: RegExp])[] = [
  ["", /not an IPv4 address/],
  ["db.internal:5432", /names are not taken/],
  ["localhost", /not an IPv4 address/],
  ["::1", /not an IPv4 address/],
  ["fd00::/8", /not an IPv4 address/],
  ["10.0.0", /not an IPv4 address/],
  ["10.0.0.256", /not an IPv4 address/],
  ["10.0.0.0/33", /not an IPv4 address/],
  ["10.0.0.5:5432 ", /not an IPv4 address/],
  ["10.0.0.5:5432\n", /not an IPv4 address/],
  ["10.0.0.5; drop", /not an IPv4 address/],
  ["10.0.0.5/32", /type 10\.0\.0\.5\./],
  ["169.254.169.254/32:80", /type 169\.254\.169\.254\./],
  ["10.0.0.5/8", /is written 10\.0\.0\.0\/8/],
  ["010.0.0.5", /is written 10\.0\.0\.5/],
  ["10.0.0.5:080", /is written 10\.0\.0\.5:80/],
  ["10.0.0.0/08", /is written 10\.0\.0\.0\/8/],
  ["10.0.0.5:0", /not a port/],
  ["10.0.0.5:65536", /not a port/],
  ["8.8.8.0/24", /on the internet/],
  ["8.8.8.0/24:443", /on the internet/],
  ["0.0.0.0/0", /reaches into the internet/],
  ["10.0.0.0/7", /as 10\.0\.0\.0\/8/],
  ["127.0.0.1:5432", /the dyno itself/],
  ["127.0.0.0/8", /the dyno itself/],
  ["0.0.0.0", /nothing has/],
  ["224.0.0.251:5353", /multicast/],
  ["255.255.255.255:67", /broadcast/],
];

for (const [text, why] of REFUSED)
  test(`${JSON.stringify(text)} is refused with a sentence`, () => {
    assert.throws(
      () => parseDestination(text),
      (error) => error instanceof DestinationError && why.test(error.message),
    );
  });

test("whatever is taken has one way to be written, and holds nothing but an address, a prefix and a port", () => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.stringMatching(/^1[0-9.]{5,9}(\/\d\d?)?(:\d{1,5})?$/)), (text) => {
      try {
        assert.equal(parseDestination(text).text, text);
        assert.match(text, /^[\d.]+(\/\d+)?(:\d+)?$/);
      } catch (error) {
        if (!(error instanceof DestinationError)) throw error;
      }
    }),
  );
});

test("of blocks that lie in each other only the widest is kept, for each port; addresses are all kept", () => {
  const kept = (...texts: readonly string[]) => withoutNested(texts.map(parseDestination)).map(({ text }) => text);
  assert.deepEqual(kept("10.1.0.0/16", "10.0.0.0/8", "10.1.2.0/24"), ["10.0.0.0/8"]);
  assert.deepEqual(kept("10.1.0.0/16:80", "10.0.0.0/8", "10.0.0.0/8:81"), [
    "10.1.0.0/16:80",
    "10.0.0.0/8",
    "10.0.0.0/8:81",
  ]);
  assert.deepEqual(kept("10.0.0.5", "10.0.0.0/8", "10.0.0.5:80"), ["10.0.0.5", "10.0.0.0/8", "10.0.0.5:80"]);
  assert.deepEqual(kept("10.0.0.0/9", "10.128.0.0/9"), ["10.0.0.0/9", "10.128.0.0/9"]);
});
