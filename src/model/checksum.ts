/** What is kept of a slug is not what was built: R17 (spec 6.2). Both are hex SHA-256 of the uncompressed tar. */
export class ChecksumError extends Error {
  readonly expected: string;
  readonly actual: string;
  constructor(expected: string, actual: string, cause?: unknown) {
    super(`Expected: SHA256:${expected} Actual: SHA256:${actual}`, { cause });
    this.name = "ChecksumError";
    this.expected = expected;
    this.actual = actual;
  }
}
