/** Nothing passes into HAProxy's configuration, maps or commands but what looks as it should. Throws for all else. */
export function checked(text: string, pattern: RegExp, what: string): string {
  if (typeof text !== "string" || !pattern.test(text)) throw new Error(`not ${what}: ${JSON.stringify(text)}`);
  return text;
}
