import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type AppManifest, ManifestError, NO_MANIFEST, parseAppManifest, storedManifest } from "./app-manifest.ts";

const parse = (value: unknown) => parseAppManifest(JSON.stringify(value));

test("spec 5.4: keys of app.json that mean something elsewhere only mean nothing to a deploy", () => {
  const heroku = {
    name: "Small app",
    env: { SECRET: { generator: "secret" } },
    formation: { web: { quantity: 3 } },
    addons: ["heroku-postgresql"],
    scripts: { postdeploy: "./setup" },
    cronjobs: 7,
    "": null,
  };
  assert.deepEqual(parse(heroku), NO_MANIFEST);
  assert.deepEqual(parseAppManifest('\uFEFF{"__proto__": {"cron": 1}}'), NO_MANIFEST);
});

test("cron: Dokku's keys, and a time zone, a name and a size of ours", () => {
  const { schedules } = parse({
    cron: [
      { command: "npm run send-email", schedule: "@daily" },
      {
        command: "rake tidy",
        schedule: " 30  3 * * MON-FRI ",
        timezone: "europe/berlin",
        name: "tidy",
        size: "standard-2x",
        concurrency_policy: "allow",
        maintenance: true,
      },
      { command: "npm run send-email", schedule: "0 12 * * *" },
    ],
  });
  assert.deepEqual(schedules, [
    {
      name: "npm-run-send-email",
      command: "npm run send-email",
      cron: "@daily",
      timeZone: "UTC",
      size: null,
      concurrency: "forbid",
      enabled: true,
    },
    {
      name: "tidy",
      command: "rake tidy",
      cron: "30 3 * * MON-FRI",
      timeZone: "Europe/Berlin",
      size: "Standard-2X",
      concurrency: "allow",
      enabled: false,
    },
    {
      name: "npm-run-send-email-2",
      command: "npm run send-email",
      cron: "0 12 * * *",
      timeZone: "UTC",
      size: null,
      concurrency: "forbid",
      enabled: true,
    },
  ]);
});

const GOOD = { command: "true", schedule: "@daily" };
const REFUSED: readonly (readonly [value: unknown, why: RegExp])[] = [
  [[], /^the file is not an object/],
  [null, /^the file is not an object/],
  [{ cron: {} }, /^cron must be array\.$/],
  [{ cron: null }, /^cron must be array\.$/],
  [{ cron: ["true"] }, /^cron\[0\] must be object\.$/],
  [{ cron: [GOOD, { command: "true" }] }, /^cron\[1\] has no schedule: add it\.$/],
  [{ cron: [{ ...GOOD, command: 7 }] }, /^cron\[0\]\.command must be string\.$/],
  [{ cron: [{ ...GOOD, timeZone: "UTC" }] }, /^cron\[0\] has the unknown key timeZone: check its spelling/],
  [{ cron: [{ ...GOOD, "a\nb": "UTC" }] }, /^cron\[0\] has the unknown key "a\\nb":/],
  [{ cron: [{ ...GOOD, command: "  " }] }, /^cron\[0\]\.command is empty/],
  [{ cron: [{ ...GOOD, command: "a\0b" }] }, /^cron\[0\]\.command holds a NUL/],
  [{ cron: [{ ...GOOD, command: "x".repeat(16_385) }] }, /^cron\[0\]\.command is longer than 16384 bytes/],
  [{ cron: [{ ...GOOD, schedule: "@often" }] }, /^cron\[0\]\.schedule "@often" is not known: use @hourly/],
  [{ cron: [{ ...GOOD, timezone: "Mars/Olympus" }] }, /^cron\[0\]\.timezone "Mars\/Olympus" is not known/],
  [{ cron: [{ ...GOOD, size: "huge" }] }, /^cron\[0\]\.size "huge" is no dyno size/],
  [{ cron: [{ ...GOOD, size: "Build" }] }, /^cron\[0\]\.size "Build" is no dyno size/],
  [
    { cron: [{ ...GOOD, concurrency_policy: "never" }] },
    /^cron\[0\]\.concurrency_policy "never" is not known: use forbid/,
  ],
  [{ cron: [{ ...GOOD, maintenance: "yes" }] }, /^cron\[0\]\.maintenance must be boolean\.$/],
  [{ cron: [{ ...GOOD, name: "No good" }] }, /^cron\[0\]\.name "No good" is no name/],
  [
    {
      cron: [
        { ...GOOD, name: "a" },
        { ...GOOD, name: "a" },
      ],
    },
    /^cron\[1\]\.name "a" is that of another entry/,
  ],
  [{ cron: Array.from({ length: 101 }, () => GOOD) }, /^cron must not have more than 100 items\.$/],
];

for (const [value, why] of REFUSED)
  test(`app.json ${JSON.stringify(value)?.slice(0, 70)} is refused, and the sentence names the key`, () => {
    assert.throws(
      () => parse(value),
      (error) => error instanceof ManifestError && why.test(error.message),
    );
  });

test("what is no JSON is refused: who wrote it meant something by it", () => {
  assert.throws(() => parseAppManifest('{"cron": [},'), /^ManifestError: the file is not valid JSON: /);
});

test("whatever a stranger writes is a manifest or a sentence on one line", () => {
  const entry = fc.record({ command: fc.string(), schedule: fc.string(), timezone: fc.string() });
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string(),
        fc.json(),
        fc.array(entry).map((cron) => JSON.stringify({ cron })),
      ),
      (text) => {
        try {
          const manifest = parseAppManifest(text);
          assert.deepEqual(storedManifest(JSON.stringify(manifest)), manifest);
        } catch (error) {
          assert.ok(error instanceof ManifestError, String(error));
          assert.doesNotMatch(error.message.replace(/^the file is not valid JSON: [^]*/, ""), /[\r\n]/);
        }
      },
    ),
  );
});

test("a slug made before a key was known has the default for it", () => {
  assert.deepEqual(storedManifest(null), NO_MANIFEST);
  assert.deepEqual(storedManifest("{}"), NO_MANIFEST);
  const later = { ...NO_MANIFEST, later: 1 } as AppManifest;
  assert.deepEqual(storedManifest(JSON.stringify(later)), later);
});
