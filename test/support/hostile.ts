/** One of each kind, for every place in every run: metacharacters, line ends, a leading dash, NUL, `../`, overlong. */
export const ALWAYS: readonly string[] = [
  "$(reboot); `id` | cat & '\"\\ > /tmp/x",
  "two\nlines\r\n\r\nHTTP/1.1 200",
  "--upload-pack=touch /tmp/x",
  "nul\0byte",
  "../../../../etc/passwd",
  "x".repeat(20_000),
];

/** What an attacker writes where a word is expected. */
export const WORDS: readonly string[] = [
  "",
  " ",
  ...ALWAYS,
  "-",
  "\u202e\u2066\u001b[2J\u0007\u009b1m",
  "/",
  "%2e%2e%2f%00%ff",
  "__proto__",
  "constructor",
  "' or 1=1; drop table apps; --",
  "\ud800",
  "\ufffe\u{1f4a9}\u0130\u00df",
  "NaN",
  "1e999",
  `\${jndi:ldap://127.0.0.1/a}{{7*7}}<script>`,
];

/** What is no word at all. */
export const NO_WORDS: readonly unknown[] = [
  null,
  true,
  0,
  -1,
  -1e308,
  2 ** 53,
  0.5,
  [],
  {},
  [[{}]],
  [null],
  { constructor: { prototype: 1 } },
  { toString: 1, id: { id: [] } },
  nested(500),
];

export const VALUES: readonly unknown[] = [...WORDS, ...NO_WORDS];

/** Too deep, and not UTF-8: for every route in every run. */
export const ALWAYS_BODIES: readonly (string | Uint8Array)[] = [
  `${'{"a":'.repeat(10_000)}1${"}".repeat(10_000)}`,
  Uint8Array.of(0x7b, 0x22, 0xff, 0xfe, 0x22, 0x3a, 0x31, 0x7d),
];

/** Bodies that are wrong as a whole; text or bytes, as they are sent. */
export const BODIES: readonly (string | Uint8Array)[] = [
  ...ALWAYS_BODIES,
  "{",
  "nul",
  "null",
  "[]",
  "1",
  '"word"',
  "\u0000",
  "\ufeff{}",
  "[".repeat(50_000),
  JSON.stringify(Array.from({ length: 10_000 }, (_, index) => index)),
  `{${Array.from({ length: 5000 }, (_, index) => `"k${index}":${index}`).join(",")}}`,
  '{"a":1,"a":{"a":2},"name":"x","name":null}',
  '{"__proto__":{"isOperator":true},"name":1}',
  '{"constructor":{"prototype":{"isOperator":true}}}',
  `{"quantity":1e400,"lines":${"9".repeat(400)},"name":-0}`,
  '"\\ud800"',
  Uint8Array.of(0x7b, 0x22, 0x6e, 0x61, 0x6d, 0x65, 0x22, 0x3a, 0x22, 0xc0, 0xaf, 0xed, 0xa0, 0x80, 0x22, 0x7d),
  Uint8Array.of(0x1f, 0x8b, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x03),
];

/** Headers that somebody reads. */
export const HEADERS: readonly string[] = [
  "Range",
  "Accept",
  "Accept-Encoding",
  "Authorization",
  "Content-Encoding",
  "Content-Type",
  "Host",
  "If-None-Match",
  "Request-Id",
  "Transfer-Encoding",
  "User-Agent",
  "X-Forwarded-For",
  "X-Forwarded-Host",
];

/** What a header can carry: one byte to each letter, no control characters (those go over a bare socket). */
export const HEADER_VALUES: readonly string[] = [
  "",
  "$(reboot); `id` | cat & '\"\\",
  "--upload-pack=touch",
  "../../../../etc/passwd",
  "\u00ff\u00fe\u0080",
  "\t;,=\t",
  "x".repeat(8000),
  `${"[".repeat(200)}]..`,
  "id ]..[; max=99999999999999999999, order=sideways",
  "version ..; max=1e3, order=desc, max=1",
  "name \u00ff..\u00ff; max=0x10",
  "__proto__ ..; max=5",
  `id ${"..".repeat(7000)} [`,
  "id 99999999999999999999..1; order=desc",
  "application/vnd.heroku+json; version=4",
  "application/vnd.heroku+json; version=__proto__",
  `application/json; charset=${"a".repeat(3000)}`,
  "multipart/form-data; boundary=x",
  "Basic OnA=",
  `Basic ${"A".repeat(6000)}`,
  "Bearer ../../x",
  `W/"${"*,".repeat(2000)}"`,
  "gzip, deflate, br;q=9",
  "evil.example",
  "127.0.0.1:99999999",
];

/** What follows the `?` of an address. */
export const QUERIES: readonly string[] = [
  "?",
  "%00=%ff&%c0%af",
  "eq[name]=%24(reboot)&eq[name]=2&eq[status]=..%2f",
  "like[description]=%5B%5C&in[namespace]=__proto__",
  "__proto__[x]=1&constructor=2&toString=3",
  `x=${"y".repeat(6000)}`,
  "service=git-receive-pack;id&service=--upload-pack=x",
  "&&&=&=",
  "%",
  "srv=%0d%0aSet-Cookie:x&tail=false&num=-1",
];

export interface Node {
  readonly type?: string;
  readonly anyOf?: readonly Node[];
  readonly enum?: readonly unknown[];
  readonly properties?: Readonly<Record<string, Node>>;
  readonly patternProperties?: Readonly<Record<string, Node>>;
  readonly items?: Node;
  readonly required?: readonly string[];
  readonly const?: unknown;
}

/** A body that fits the schema, so that what is wrong is wrong in one place. `wordFor`: a good word for a field, by its dotted path. */
export function fitting(node: Node, wordFor: (path: string) => unknown, path = ""): unknown {
  const own = wordFor(path);
  if (own !== undefined) return own;
  if (node.const !== undefined) return node.const;
  if (node.enum) return node.enum[0];
  if (node.anyOf) return fitting(node.anyOf[0] ?? {}, wordFor, path);
  const inside = (name: string, inner: Node) => fitting(inner, wordFor, path === "" ? name : `${path}.${name}`);
  switch (node.type ?? "") {
    case "object":
      return Object.fromEntries(
        (node.required ?? []).map((name) => [name, inside(name, node.properties?.[name] ?? {})]),
      );
    case "array":
      return node.items ? [fitting(node.items, wordFor, path)] : [];
    case "integer":
    case "number":
      return 1;
    case "boolean":
      return true;
    default:
      return "word";
  }
}

/** A field of a body, and the whole body with a value in its place. */
export interface Field {
  readonly path: string;
  readonly with: (value: unknown) => unknown;
}

/** Every field of a body, of what lies in objects and lists too, and of a map its keys and its values. */
export function* fieldsOf(node: Node, wordFor: (path: string) => unknown, path = ""): Generator<Field> {
  for (const each of node.anyOf ?? []) yield* fieldsOf(each, wordFor, path);
  if (node.items) {
    yield { path: `${path}[]`, with: (value) => [value] };
    for (const inner of fieldsOf(node.items, wordFor, path)) yield { ...inner, with: (value) => [inner.with(value)] };
  }
  if (node.patternProperties) {
    yield {
      path: `${path}{key}`,
      with: (value) => Object.fromEntries([[typeof value === "string" ? value : JSON.stringify(value), "word"]]),
    };
    yield { path: `${path}{value}`, with: (value) => ({ WORD: value }) };
  }
  for (const [name, inner] of Object.entries(node.properties ?? {})) {
    const whole = fitting(node, wordFor, path);
    const at = path === "" ? name : `${path}.${name}`;
    const put = (value: unknown) => ({ ...(whole as object), [name]: value });
    yield { path: at, with: put };
    for (const deep of fieldsOf(inner, wordFor, at)) yield { ...deep, with: (value) => put(deep.with(value)) };
  }
}

function nested(levels: number): unknown {
  let value: unknown = 1;
  for (let level = 0; level < levels; level++) value = level % 2 === 0 ? [value] : { a: value };
  return value;
}
