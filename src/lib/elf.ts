/** What is left of a program, and the names of what it took from the library: calling one of them would end it (SIGSEGV). */
export interface WithoutLibrary {
  readonly program: Buffer;
  readonly lost: readonly string[];
}

/**
 * The program (64 bits, little-endian) as it would be without this shared library: the loader does not bring it, nor what only it
 * needs; what the program took from it is at address 0. undefined: it does not need that library, or says not by its version what
 * it takes from it. Throws where it is no such program.
 *
 * Sources: System V ABI, chapter 5 (dynamic linking); LSB, "symbol versioning".
 */
export function withoutLibrary(original: Buffer, library: string): WithoutLibrary | undefined {
  const program = Buffer.from(original);
  const elf = new Elf(program);
  const needed = elf.dynamic.find((each) => each.tag === DT.needed && elf.text(each.value) === library);
  const versions = elf.unlinkVersions(library);
  if (needed === undefined || versions === undefined) return undefined;
  elf.remove(needed);
  const symbols = new Set([...elf.relocated(DT.rela, DT.relaSize), ...elf.relocated(DT.plt, DT.pltSize)]);
  const lost = [...symbols].filter((symbol) => versions.has(elf.versionOf(symbol)));
  for (const symbol of lost) elf.makeWeak(symbol);
  return { program, lost: lost.map((symbol) => elf.nameOf(symbol)) };
}

/** Tags of the dynamic section. */
const DT = {
  end: 0,
  needed: 1,
  pltSize: 2,
  names: 5,
  symbols: 6,
  rela: 7,
  relaSize: 8,
  plt: 23,
  versionOfSymbol: 0x6fff_fff0,
  versions: 0x6fff_fffe,
  versionsCount: 0x6fff_ffff,
} as const;

const MAGIC = Buffer.from([0x7f, 0x45, 0x4c, 0x46, 2, 1]); // "\x7fELF", 64 bits, little-endian
const SEGMENT = { load: 1, dynamic: 2 } as const;
const SIZE = { segment: 56, dynamic: 16, symbol: 24, rela: 24 } as const;
const WEAK = 2;
/** A version's number of the symbol's own object: any definition will do. */
const GLOBAL = 1;
const HIDDEN_BIT = 0x8000;

interface Segment {
  readonly type: number;
  readonly offset: number;
  readonly address: number;
  readonly size: number;
}

interface Dynamic {
  readonly tag: number;
  readonly value: number;
  /** Where the entry is in the file. */
  readonly at: number;
}

class Elf {
  readonly #bytes: Buffer;
  readonly #segments: readonly Segment[];

  constructor(bytes: Buffer) {
    if (!bytes.subarray(0, MAGIC.length).equals(MAGIC)) throw new Error("not an ELF file of 64 bits, little-endian");
    this.#bytes = bytes;
    const [first, count] = [this.#long(0x20), bytes.readUInt16LE(0x38)];
    this.#segments = Array.from({ length: count }, (_, index) => {
      const at = first + index * SIZE.segment;
      return {
        type: bytes.readUInt32LE(at),
        offset: this.#long(at + 8),
        address: this.#long(at + 16),
        size: this.#long(at + 32),
      };
    });
  }

  get dynamic(): readonly Dynamic[] {
    const segment = this.#segments.find(({ type }) => type === SEGMENT.dynamic);
    if (segment === undefined) throw new Error("needs no libraries");
    const entries = Array.from({ length: segment.size / SIZE.dynamic }, (_, index) => {
      const at = segment.offset + index * SIZE.dynamic;
      return { tag: this.#long(at), value: this.#long(at + 8), at };
    });
    const end = entries.findIndex(({ tag }) => tag === DT.end);
    return end === -1 ? entries : entries.slice(0, end);
  }

  /** Those behind it move up, and one more end is behind them. */
  remove({ at }: Dynamic): void {
    const last = this.dynamic.at(-1)?.at ?? at;
    this.#bytes.copyWithin(at, at + SIZE.dynamic, last + SIZE.dynamic);
    this.#bytes.fill(0, last, last + SIZE.dynamic);
  }

  text(offset: number): string {
    const at = this.#offset(this.#value(DT.names)) + offset;
    return this.#bytes.toString("latin1", at, this.#bytes.indexOf(0, at));
  }

  /** Takes the library's record out of the list of versions that are needed; gives their numbers. undefined: it has none, or the only one. */
  unlinkVersions(library: string): ReadonlySet<number> | undefined {
    const count = this.#value(DT.versionsCount);
    if (count < 2) return undefined;
    let [at, before] = [this.#offset(this.#value(DT.versions)), -1];
    for (let left = count; left > 0; left--) {
      const next = this.#bytes.readUInt32LE(at + 12);
      if (this.text(this.#bytes.readUInt32LE(at + 4)) !== library) {
        [before, at] = [at, at + next];
        continue;
      }
      const numbers = this.#versionNumbers(at);
      if (before === -1) this.#setValue(DT.versions, this.#value(DT.versions) + next);
      else this.#bytes.writeUInt32LE(next === 0 ? 0 : at + next - before, before + 12);
      this.#setValue(DT.versionsCount, count - 1);
      return numbers;
    }
    return undefined;
  }

  #versionNumbers(record: number): ReadonlySet<number> {
    const numbers = new Set<number>();
    let at = record + this.#bytes.readUInt32LE(record + 8);
    for (let left = this.#bytes.readUInt16LE(record + 2); left > 0; left--) {
      numbers.add(this.#bytes.readUInt16LE(at + 6));
      at += this.#bytes.readUInt32LE(at + 12);
    }
    return numbers;
  }

  /** The numbers of symbols that the loader looks up. */
  relocated(table: number, size: number): readonly number[] {
    if (!this.dynamic.some(({ tag }) => tag === table)) return [];
    const at = this.#offset(this.#value(table));
    const count = this.#value(size) / SIZE.rela;
    return Array.from({ length: count }, (_, index) => this.#bytes.readUInt32LE(at + index * SIZE.rela + 12));
  }

  versionOf(symbol: number): number {
    return this.#bytes.readUInt16LE(this.#versionAt(symbol)) & ~HIDDEN_BIT;
  }

  nameOf(symbol: number): string {
    return this.text(this.#bytes.readUInt32LE(this.#symbolAt(symbol)));
  }

  /** Whatever defines it will do, or nothing. */
  makeWeak(symbol: number): void {
    const info = this.#symbolAt(symbol) + 4;
    this.#bytes.writeUInt8((WEAK << 4) | (this.#bytes.readUInt8(info) & 0xf), info);
    this.#bytes.writeUInt16LE(GLOBAL, this.#versionAt(symbol));
  }

  #symbolAt(symbol: number): number {
    return this.#offset(this.#value(DT.symbols)) + symbol * SIZE.symbol;
  }

  #versionAt(symbol: number): number {
    return this.#offset(this.#value(DT.versionOfSymbol)) + symbol * 2;
  }

  #value(tag: number): number {
    return this.#entry(tag).value;
  }

  #setValue(tag: number, value: number): void {
    this.#bytes.writeBigUInt64LE(BigInt(value), this.#entry(tag).at + 8);
  }

  #entry(tag: number): Dynamic {
    const entry = this.dynamic.find((each) => each.tag === tag);
    if (entry === undefined) throw new Error(`no entry ${tag} in its dynamic section`);
    return entry;
  }

  /** Where in the file that is which has this address in memory. */
  #offset(address: number): number {
    const segment = this.#segments.find(
      (each) => each.type === SEGMENT.load && address >= each.address && address < each.address + each.size,
    );
    if (segment === undefined) throw new Error(`nothing of the file is at ${address}`);
    return segment.offset + address - segment.address;
  }

  #long(at: number): number {
    return Number(this.#bytes.readBigUInt64LE(at));
  }
}
