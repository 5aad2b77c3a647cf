/** Like `Promise.all`, but waits for all of them even if one fails, so that whoever cleans up finds everything. */
export async function settled<T extends readonly unknown[]>(
  promises: { readonly [K in keyof T]: Promise<T[K]> },
): Promise<T> {
  const list: readonly Promise<unknown>[] = promises;
  await Promise.allSettled(list);
  return (await Promise.all(list)) as unknown as T; // the same tuple, awaited
}
