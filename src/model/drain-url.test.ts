import assert from "node:assert/strict";
import { test } from "node:test";
import { parseDrainUrl, parseWebUrl } from "./drain-url.ts";
import { PlatformError } from "./errors.ts";

const wrong = (error: unknown) => error instanceof PlatformError && error.id === "invalid_params";

test("spec 8.4: the kinds of drains, with their ports; what is shown of one has no secret", () => {
  const parsed = (text: string) => {
    const { kind, isTls, host, port, shown } = parseDrainUrl(text);
    return [kind, isTls, host, port, shown];
  };
  assert.deepEqual(parsed("syslog://logs.example.com"), [
    "syslog",
    false,
    "logs.example.com",
    514,
    "syslog://logs.example.com:514/",
  ]);
  assert.deepEqual(parsed("syslog+tls://h:12"), ["syslog", true, "h", 12, "syslog+tls://h:12/"]);
  assert.deepEqual(parsed("syslog+tls://h"), ["syslog", true, "h", 6514, "syslog+tls://h:6514/"]);
  assert.deepEqual(parsed("https://user:pa%20ss@Example.COM/in?key=secret"), [
    "http",
    true,
    "example.com",
    443,
    "https://example.com:443/",
  ]);
  assert.deepEqual(parsed("http://h:80/x"), ["http", false, "h", 80, "http://h:80/"]);
  assert.deepEqual(parsed("syslog://[2001:db8::1]:99"), [
    "syslog",
    false,
    "2001:db8::1",
    99,
    "syslog://[2001:db8::1]:99/",
  ]);
  assert.equal(parseDrainUrl("syslog://0x7f.1:514").host, "127.0.0.1", "whatever way it is written");
  assert.equal(parseDrainUrl("https://2130706433/").host, "127.0.0.1");
});

test("what is no such URL is refused", () => {
  const bad = [
    "",
    "logs.example.com",
    "ftp://h",
    "udp://h:514",
    "syslog:h",
    "https:",
    "https://",
    "syslog://",
    "javascript:alert(1)",
    "https://h\n/",
    "https://h /",
    "https://h\0",
    "https://hé/",
    "syslog://h:0",
    "syslog://h:70000",
    "syslog://u:p@h",
    "https://%ff@h/",
    "file:///etc/passwd",
    "--help",
    "../..",
    "$(id)",
    `https://h/${"a".repeat(1000)}`,
    "https://a..b:x",
  ];
  for (const text of bad) assert.throws(() => parseDrainUrl(text), wrong, text);
  assert.throws(() => parseWebUrl("syslog://h"), wrong);
  assert.equal(parseWebUrl("http://h/hook").url.pathname, "/hook");
});
