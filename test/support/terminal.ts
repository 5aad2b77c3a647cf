/** A step of a person at a terminal: once this is seen, in turn, the window gets another size, or something is typed. */
export interface Step {
  readonly seen: string;
  readonly size?: WindowSize;
  readonly type?: string;
}
export type WindowSize = readonly [rows: number, columns: number];

/** Python, since Node opens no terminals: `[options as JSON, program, arguments...]`. It ends with the program's status, and says what that said. */
const PROGRAM = `
import fcntl, json, os, struct, sys, termios
options, argv = json.loads(sys.argv[1]), sys.argv[2:]
def resize(fd, size): fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", *size, 0, 0))
master, slave = os.openpty()
resize(slave, options["size"])
pid = os.fork()
if pid == 0:
    os.close(master)
    os.login_tty(slave)
    os.execvp(argv[0], argv)
os.close(slave)
said, at, steps = b"", 0, options["steps"]
while True:
    try: data = os.read(master, 65536)
    except OSError: break # nobody has the terminal open any more
    if not data: break
    said += data
    os.write(1, data)
    while steps and (found := said.find(steps[0]["seen"].encode(), at)) >= 0:
        step = steps.pop(0)
        at = found + len(step["seen"].encode())
        if "size" in step: resize(master, step["size"])
        if "type" in step: os.write(master, step["type"].encode())
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) & 255)
`;

/** What runs `command` on a terminal of that size: arguments for `python3`. */
export function terminalArguments(command: readonly string[], size: WindowSize, steps: readonly Step[]): string[] {
  return ["-c", PROGRAM, JSON.stringify({ size, steps }), ...command];
}
