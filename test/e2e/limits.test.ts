import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { echo } from "./apps.ts";
import { deployed, push, stator, statorOk, temporaryRepository, throughRouter, waitLog, waitUp } from "./harness.ts";

/** A dyno that takes more than its size gives suffers alone. */
let app = "";
let dispose: () => Promise<void> = async () => {};

before(async () => {
  const made = await deployed("limits", echo);
  app = made.name;
  dispose = async () => made[Symbol.asyncDispose]();
});
after(() => dispose());

const run = (script: string) => stator(["run", "-a", app, "--no-tty", "--", script], { timeoutMs: 120_000 });

test("memory: beyond the quota a dyno goes on; at the ceiling, twice that, the kernel ends it alone: 137 and R15", async () => {
  const beyond = await run("python3 -c 'x = bytearray(800 * 1024 * 1024); print(len(x))'");
  assert.match(beyond.stdout, /838860800/);
  const { code } = await run("python3 -c 'x = bytearray(1400 * 1024 * 1024); print(len(x))'");
  assert.equal(code, 137);
  await waitLog(app, /heroku\[run\.\d+\]: Error R15 \(Memory quota vastly exceeded\)/);
  assert.equal((await throughRouter(app)).status, 200);
});

test("memory: a child at the ceiling takes its whole dyno along, within seconds on cgroup v1", async () => {
  const { code } = await run("python3 -c 'x = bytearray(1400 * 1024 * 1024)' & sleep 60");
  assert.equal(code, 137);
});

test("processes: a fork bomb meets its limit, and the app answers meanwhile", async () => {
  const script =
    "import os,time\nn=0\ntry:\n  while True:\n    if os.fork()==0: time.sleep(60)\n    n+=1\nexcept OSError as e: print('stopped at', n, e, flush=True)\nos.kill(1, 15)";
  const bomb = run(`python3 -c "${script}"`);
  const answers = await Promise.all(Array.from({ length: 20 }, () => throughRouter(app)));
  assert.deepEqual([...new Set(answers.map(({ status }) => status))], [200]);
  const { stdout } = await bomb;
  const count = Number(/stopped at (\d+)/.exec(stdout)?.[1]);
  assert.ok(count > 50 && count < 256, stdout);
});

test("what the kernel counts for root or for all: a dyno's part of terminals, pending signals and message queues, and no more", async () => {
  const script = `
import ctypes, errno, os, signal
libc = ctypes.CDLL(None, use_errno=True)
def take(name, one):
    count = 0
    try:
        while one(count) >= 0: count += 1
        error = ctypes.get_errno()
    except OSError as failure: error = failure.errno
    print(name, count, errno.errorcode[error])
kilobyte = (ctypes.c_long * 8)(0, 1, 1024)
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGRTMIN])
take("terminals", lambda _: os.openpty()[0])
take("signals", lambda _: libc.sigqueue(os.getpid(), signal.SIGRTMIN, None))
take("queues", lambda at: libc.mq_open(b"/q%d" % at, os.O_CREAT | os.O_RDWR, 0o600, kilobyte))`;
  const { stdout, stderr } = await run(`python3 -c '${script}'`);
  const met = Object.fromEntries(stdout.matchAll(/^(\w+) (\d+ \w+)\r?$/gm).map(([, name, what]) => [name, what]));
  const within = (name: string, least: number, most: number, error: string) => {
    const [count = "", code] = met[name]?.split(" ") ?? [];
    assert.ok(Number(count) >= least && Number(count) <= most && code === error, `${name}: ${stdout}${stderr}`);
  };
  within("terminals", 32, 64, "ENOSPC");
  within("signals", 512, 1024, "EAGAIN"); // the user's other processes of the app hold some
  within("queues", 4, 96, "EMFILE"); // a kilobyte each; what root itself may have is divided, and says how many
});

test("disk: /app and /tmp together are limited; the other dynos and the host notice nothing", async () => {
  const { stdout } = await run(
    "dd if=/dev/zero of=/tmp/a bs=1M count=1500 2>&1 | tail -1; dd if=/dev/zero of=/app/b bs=1M count=1500 2>&1; rm /tmp/a; echo again > /app/c && echo usable",
  );
  assert.match(stdout, /Disk quota exceeded|No space left on device/);
  assert.match(stdout, /usable/);
});

test("spec 3.2: a port never bound: R10 after 60 s, SIGKILL, 137, crashed; the push fails and what ran keeps running", async () => {
  using repository = await temporaryRepository({ Procfile: "web: echo I do not listen; exec sleep 1000\n" });
  const refused = await push(repository.folder, app, "+HEAD:refs/heads/main");
  assert.notEqual(refused.code, 0);
  assert.match(refused.stderr, /did not bind to \$PORT within 60 seconds \(R10\)/);
  assert.match(refused.stderr, /I do not listen/);
  const log = await statorOk(["logs", "-a", app, "-n", "500"]);
  for (const line of [
    "Error R10 (Boot timeout) -> Web process failed to bind to $PORT within 60 seconds of launch",
    "Stopping process with SIGKILL",
    "Process exited with status 137",
    "State changed from starting to crashed",
  ]) {
    assert.ok(log.includes(`heroku[web.1]: ${line}`), `${line} in\n${log}`);
  }
  await waitUp(app, "web", 1);
  assert.equal((await throughRouter(app)).status, 200);
});
