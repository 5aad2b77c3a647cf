import assert from "node:assert/strict";
import { test } from "node:test";
import { chooseDisk, type DiskSituation, toTry } from "./disk-choice.ts";

const fresh: DiskSituation = {
  setting: "auto",
  standing: null,
  trials: { btrfs: "", project: "", image: "" },
  dynosLive: false,
};
const choose = (change: Partial<DiskSituation>) => chooseDisk({ ...fresh, ...change });
const use = (mechanism: string) => ({ kind: "use", mechanism, refused: "" });
const no = "the kernel lacks it";

test("a new instance takes the first mechanism that works, and none only where none does", () => {
  assert.deepEqual(choose({}), use("btrfs"));
  assert.deepEqual(choose({ trials: { btrfs: no, project: "", image: "" } }), use("project"));
  assert.deepEqual(choose({ trials: { btrfs: no, project: no, image: "" } }), use("image"));
  assert.deepEqual(choose({ trials: { btrfs: no, project: no, image: no } }), use("none"));
  assert.deepEqual(toTry(fresh), ["btrfs", "project", "image"]);
});

test("a new instance takes what the operator asks for, or does not start and says why", () => {
  assert.deepEqual(toTry({ setting: "image", standing: null }), ["image"]);
  assert.deepEqual(choose({ setting: "image", trials: { image: "" } }), use("image"));
  assert.throws(() => choose({ setting: "project", trials: { project: no } }), {
    message: "STATOR_DISK=project cannot be used on this machine: the kernel lacks it",
  });
  assert.throws(() => choose({ setting: "project", trials: {} }), /not tried/);
});

test("what stands stays, and nothing is tried, whether dynos run or not", () => {
  for (const standing of ["btrfs", "project", "image"] as const)
    for (const setting of ["auto", standing] as const)
      for (const dynosLive of [false, true]) {
        assert.deepEqual(choose({ standing, setting, trials: {}, dynosLive }), use(standing));
        assert.deepEqual(toTry({ setting, standing }), []);
      }
});

test("another mechanism is moved to once no dyno runs; until then, and where it does not work, what stands is used and the reason told", () => {
  const asked = { setting: "image", standing: "btrfs", trials: { image: "" } } as const;
  assert.deepEqual(toTry(asked), ["image"]);
  assert.deepEqual(choose(asked), { kind: "move", from: "btrfs", to: "image" });
  assert.deepEqual(choose({ ...asked, dynosLive: true }), {
    kind: "use",
    mechanism: "btrfs",
    refused:
      "Dynos run whose disks lie on btrfs, so STATOR_DISK=image cannot be used yet: stop them (stator down), then call stator up again",
  });
  assert.deepEqual(choose({ ...asked, trials: { image: no } }), {
    kind: "use",
    mechanism: "btrfs",
    refused: "STATOR_DISK=image cannot be used on this machine: the kernel lacks it",
  });
});

test("where nothing limited the disks, the first mechanism that works is moved to", () => {
  const unlimited = { ...fresh, standing: "none" } as const;
  assert.deepEqual(toTry(unlimited), ["btrfs", "project", "image"]);
  assert.deepEqual(chooseDisk(unlimited), { kind: "move", from: "none", to: "btrfs" });
  assert.deepEqual(
    choose({ standing: "none", trials: { btrfs: no, project: no, image: no }, dynosLive: true }),
    use("none"),
  );
  const running = chooseDisk({ ...unlimited, dynosLive: true });
  assert.equal(running.kind === "use" && running.mechanism, "none");
  assert.match(running.kind === "use" ? running.refused : "", /on none, so btrfs cannot be used yet/);
});
