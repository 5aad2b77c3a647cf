import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { LOOK_BYTES, NotARing, RequestRing, type RingBytes } from "./request-ring.ts";

const HEAD = 72;

/**
 * HAProxy 2.6's writer (`ring_init`, `ring_write` in src/ring.c), store for store: each `yield` is an instant at which a reader may look.
 * What it writes is a message of its own number, filled up with x.
 */
class Writer {
  readonly memory: Buffer;
  readonly #size: number;
  #head = 0;
  #held = 0;
  #taken = 0;
  count = 0;

  constructor(size: number) {
    this.#size = size;
    this.memory = Buffer.alloc(HEAD + size);
  }

  *begin(): Generator<void> {
    this.#store(0, this.#size);
    yield;
    this.memory[HEAD] = 0;
    this.#store(16, (this.#held = 1));
    yield;
  }

  *write(length: number): Generator<void> {
    const text = `${this.count} `.padEnd(length, "x");
    const encoded = varint(text.length);
    if (encoded.length + text.length + 2 > this.#size) return;
    while (this.#size - this.#held < encoded.length + text.length + 1) {
      const [oldLength, bytes] = this.#varintAt(this.#head + 1);
      const all = 1 + bytes + oldLength;
      this.#store(16, (this.#held -= all));
      yield;
      this.#store(24, (this.#head = (this.#head + all) % this.#size));
      yield;
      this.#store(32, (this.#taken += all));
      yield;
    }
    yield* this.#put(encoded);
    yield* this.#put(Buffer.from(text, "latin1"));
    yield* this.#put(Buffer.of(0));
    this.count++;
  }

  *#put(bytes: Buffer): Generator<void> {
    const half = bytes.length >> 1;
    for (const [index, byte] of bytes.entries()) {
      if (index === half) yield;
      this.memory[HEAD + ((this.#head + this.#held + index) % this.#size)] = byte;
    }
    yield;
    this.#store(16, (this.#held += bytes.length));
    yield;
  }

  #varintAt(at: number): readonly [value: number, bytes: number] {
    const byte = (index: number) => this.memory[HEAD + ((at + index) % this.#size)] ?? 0;
    let value = byte(0);
    if (value < 0xf0) return [value, 1];
    for (let index = 1, bits = 4; ; index++, bits += 7) {
      value += byte(index) * 2 ** bits;
      if (byte(index) < 0x80) return [value, index + 1];
    }
  }

  #store(at: number, value: number): void {
    this.memory.writeBigUInt64LE(BigInt(value), at);
  }
}

/** `__b_put_varint` in include/haproxy/buf.h. */
function varint(value: number): Buffer {
  if (value < 0xf0) return Buffer.of(value);
  const bytes = [(value & 0xff) | 0xf0];
  let rest = (value - 0xf0) >> 4;
  for (; rest >= 0x80; rest = (rest - 0x80) >> 7) bytes.push((rest & 0xff) | 0x80);
  return Buffer.from([...bytes, rest]);
}

/** The memory, of which each read lets HAProxy go on in its midst: by `steps()` stores at every few bytes. */
function torn(writer: Writer, work: Iterator<void>, steps: () => number): RingBytes {
  return {
    inode: 7,
    length: writer.memory.length,
    read(into, offset, bytes, at) {
      for (let done = 0; done < bytes; ) {
        for (let n = steps(); n > 0; n--) work.next();
        const part = Math.min(bytes - done, done < HEAD ? 8 : 100);
        writer.memory.copy(into, offset + done, at + done, at + done + part);
        done += part;
      }
      return bytes;
    },
    [Symbol.dispose]: () => {},
  };
}

function* writingAll(writer: Writer, lengths: readonly number[]): Generator<void> {
  yield* writer.begin();
  for (const length of lengths) yield* writer.write(length);
}

/** What the messages from `first` to before `end` take in the ring. */
function bytesOf(texts: readonly number[], first: number, end: number): number {
  const lengths = texts.slice(first, end).map((length, index) => Math.max(length, `${first + index} `.length));
  return lengths.reduce((sum, length) => sum + varint(length).length + length + 1, 0);
}

const numberOf = (line: string): number => {
  assert.match(line, /^\d+ x*$/);
  return Number.parseInt(line, 10);
};

test("whatever HAProxy does while it is read: every message comes whole, once and in order, and a gap is told", () => {
  const lengths = fc.array(fc.oneof(fc.integer({ min: 4, max: 60 }), fc.integer({ min: 200, max: 300 })), {
    minLength: 20,
    maxLength: 120,
  });
  const stepping = fc.array(fc.oneof({ weight: 3, arbitrary: fc.constant(0) }, fc.nat(12)), { minLength: 1 });
  fc.assert(
    fc.property(fc.integer({ min: 700, max: 3_000 }), lengths, stepping, (size, texts, pattern) => {
      const writer = new Writer(size);
      const work = writingAll(writer, texts);
      let turn = 0;
      let isOver = false;
      const ring = new RequestRing(
        torn(writer, work, () => (isOver ? 0 : (pattern[turn++ % pattern.length] ?? 0))),
        Buffer.alloc(LOOK_BYTES),
      );
      let next = 0;
      let overrun = 0;
      const look = () => {
        const found = ring.look();
        overrun += found.overrun;
        for (const line of found.lines) {
          const number = numberOf(line);
          assert.equal(overrun, bytesOf(texts, next, number));
          overrun = 0;
          assert.equal(line.length, Math.max(texts[number] ?? 0, `${number} `.length));
          next = number + 1;
        }
      };
      for (let n = 0; n < 30; n++) {
        look();
        work.next();
      }
      while (work.next().done !== true);
      isOver = true;
      look();
      assert.equal(next, writer.count, "nothing is left");
      assert.deepEqual(ring.look(), { lines: [], bytes: 0, overrun: 0 });
    }),
    { numRuns: 300 },
  );
});

/** One that has written so many messages of such a length. */
function written(size: number, count: number, length: number): Writer {
  const writer = new Writer(size);
  for (const _ of writingAll(
    writer,
    Array.from({ length: count }, () => length),
  ));
  return writer;
}
const still = (writer: Writer) => torn(writer, [][Symbol.iterator](), () => 0);
const buffer = Buffer.alloc(LOOK_BYTES);

test("a reader goes on where another had come to, in the same file alone", () => {
  const writer = written(50_000, 100, 300);
  const first = new RequestRing(still(writer), buffer);
  assert.equal(first.look().lines.length, 100);
  for (const _ of writer.write(300));
  const { position } = first;
  const second = new RequestRing(still(writer), buffer, { inode: 7, position });
  assert.deepEqual(second.look().lines.map(numberOf), [100]);
  const other = new RequestRing(still(writer), buffer, { inode: 8, position });
  assert.equal(other.look().lines.length, 101);
});

test("more than one look's worth is taken in several, however long the messages", () => {
  const writer = written(2 ** 20, 60, 15_000);
  const ring = new RequestRing(still(writer), buffer);
  const found: number[] = [];
  for (let look = ring.look(); look.lines.length > 0; look = ring.look()) {
    assert.ok(look.bytes <= LOOK_BYTES);
    found.push(...look.lines.map(numberOf));
  }
  assert.deepEqual(
    found,
    Array.from({ length: 60 }, (_, index) => index),
  );
});

test("what was written over is told to the byte, and the next message is the oldest that is left", () => {
  const writer = written(10_000, 5, 100);
  const ring = new RequestRing(still(writer), buffer);
  assert.equal(ring.look().lines.length, 5);
  for (let n = 0; n < 200; n++) for (const _ of writer.write(100));
  const { lines, overrun } = ring.look();
  const [first = Number.NaN] = lines.map(numberOf);
  assert.equal(overrun, (first - 5) * 102);
  assert.deepEqual(
    lines.map(numberOf),
    Array.from({ length: 205 - first }, (_, index) => first + index),
  );
});

test("a file that is no ring is refused, whatever is in it", () => {
  const broken = (change: (memory: Buffer) => void): RequestRing => {
    const writer = written(10_000, 20, 100);
    change(writer.memory);
    return new RequestRing(still(writer), buffer);
  };
  for (const change of [
    (memory: Buffer) => memory.writeUInt32LE(10_001, 0),
    (memory: Buffer) => memory.writeUInt32LE(0, 16) + memory.writeUInt32LE(1, 32),
    (memory: Buffer) => memory.writeUInt32LE(99_999, 16),
    (memory: Buffer) => memory.writeUInt32LE(0xffff_ffff, 36),
    (memory: Buffer) => memory.fill(0xff, HEAD),
    (memory: Buffer) => memory.fill(0xff, HEAD + 1),
    (memory: Buffer) => memory.writeUInt8(1, HEAD + 102),
  ])
    assert.throws(() => broken(change).look(), NotARing);
  const any = fc.uint8Array({ minLength: HEAD, maxLength: 400 });
  fc.assert(
    fc.property(any, (bytes) => {
      const memory = Buffer.from(bytes);
      memory.writeBigUInt64LE(BigInt(memory.length - HEAD), 0);
      memory.writeUInt32LE(0, 20);
      memory.writeUInt32LE(0, 36);
      const ring = new RequestRing(
        {
          ...still(new Writer(1)),
          length: memory.length,
          read: (into, offset, count, at) => memory.copy(into, offset, at, at + count),
        },
        buffer,
      );
      try {
        assert.ok(ring.look().bytes <= memory.length);
      } catch (error) {
        assert.ok(error instanceof NotARing, String(error));
      }
    }),
  );
});
