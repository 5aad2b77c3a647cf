type Table = Map<unknown, unknown>;

/**
 * The functions of the metadata proposal that the certificate library's injector asks for; nothing else uses them. Does nothing
 * where they are there already. The last three are for the package `reflect-metadata`, which another library may bring into the
 * same process later: it asks who was there before.
 */
export function defineReflectMetadata(): void {
  if ("getMetadata" in Reflect) return;
  const tables = new WeakMap<object, Table>();
  const own = (key: unknown, target: object): unknown => tables.get(target)?.get(key);
  Object.assign(Reflect, {
    defineMetadata(key: unknown, value: unknown, target: object): void {
      const table: Table = tables.get(target) ?? new Map();
      tables.set(target, table.set(key, value));
    },
    getOwnMetadata: own,
    hasOwnMetadata: (key: unknown, target: object): boolean => tables.get(target)?.has(key) ?? false,
    getOwnMetadataKeys: (target: object): readonly unknown[] => [...(tables.get(target)?.keys() ?? [])],
    deleteMetadata: (key: unknown, target: object): boolean => tables.get(target)?.delete(key) ?? false,
    getMetadata(key: unknown, target: object): unknown {
      for (let each: object | null = target; each !== null; each = Object.getPrototypeOf(each) as object | null) {
        const value = own(key, each);
        if (value !== undefined) return value;
      }
      return undefined;
    },
  });
}
