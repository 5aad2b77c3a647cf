import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { CommandError, run } from "./command.ts";
import { withoutLibrary } from "./elf.ts";

// Debian's perl-base is on every machine where this runs, and needs a library for one of its functions.
const PERL = "/usr/bin/perl";
const LIBRARY = "libcrypt.so.1";

let folder = "";
before(async () => {
  folder = await mkdtemp(join(tmpdir(), "elf-"));
});
after(() => rm(folder, { recursive: true }));

const perl = async (program: string, code: string) => (await run(program, ["-e", code])).stdout;

test("a program runs without a library that it has no use for, and without what only that one brought", async () => {
  const lean = withoutLibrary(await readFile(PERL), LIBRARY);
  assert.ok(lean !== undefined, "perl needs it, by version");
  assert.deepEqual(
    lean.lost.filter((name) => !name.startsWith("crypt")),
    [],
  );
  assert.ok(lean.lost.length > 0);
  const program = join(folder, "perl");
  await writeFile(program, lean.program, { mode: 0o755 });

  const maps = 'open my $maps, "<", "/proc/self/maps"; print <$maps>;';
  assert.match(await perl(PERL, maps), /libcrypt/);
  assert.doesNotMatch(await perl(program, maps), /libcrypt/);
  assert.equal(
    await perl(program, 'print join ",", map { sprintf "%.3f", sqrt } 2, 3'),
    "1.414,1.732",
    "the others are there",
  );
  assert.match(await perl(PERL, 'print crypt "a", "bc"'), /^bc/);
  await assert.rejects(
    perl(program, 'print crypt "a", "bc"'),
    (error) => error instanceof CommandError,
    "what it lost ends it",
  );
});

test("what does not need the library, and what needs no other, is left alone", async () => {
  assert.equal(withoutLibrary(await readFile(PERL), "libsystemd.so.0"), undefined);
  const lean = withoutLibrary(await readFile(PERL), LIBRARY);
  assert.equal(lean && withoutLibrary(lean.program, LIBRARY), undefined, "a second time");
});

/** The libraries of which the loader checks versions for this program: it prints each with its file, ours before others'. */
async function versionsOf(program: string): Promise<readonly string[]> {
  const env = { LD_TRACE_LOADED_OBJECTS: "1", LD_VERBOSE: "1" };
  const { stdout } = await run(program, [], { env });
  const [own = ""] = (stdout.split(`\t${program}:\n`)[1] ?? "").split(/^\t\S.*:$/m);
  return [...new Set([...own.matchAll(/^\t\t(\S+) \(/gm)].map(([, name = ""]) => name))];
}

test("each of the libraries can go, wherever it is in the loader's lists, and the others stay in them", async () => {
  const original = await readFile(PERL);
  const all = await versionsOf(PERL);
  assert.ok(all.length > 2 && all.includes(LIBRARY), all.join());
  for (const library of all) {
    const program = join(folder, `without-${library}`);
    const lean = withoutLibrary(original, library);
    assert.ok(lean !== undefined, library);
    await writeFile(program, lean.program, { mode: 0o755 });
    assert.deepEqual(
      await versionsOf(program),
      all.filter((name) => name !== library),
      library,
    );
  }
});

test("what is no program is told", () => {
  assert.throws(() => withoutLibrary(Buffer.from("#!/usr/bin/perl\n"), LIBRARY), /not an ELF file/);
  assert.throws(() => withoutLibrary(Buffer.alloc(0), LIBRARY), /not an ELF file/);
});
