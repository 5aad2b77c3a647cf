import type { Store } from "../store/store.ts";

/** The daemon dies at its n-th call of the store: before it, or, where a transaction was committed, right after. */
export function mortal(store: Store, life: { callsLeft: number }): Store {
  const step = () => {
    if (--life.callsLeft < 0) throw new Error("dead");
  };
  const around = <T extends object>(target: T): T =>
    new Proxy(target, {
      get(of, key) {
        const value = Reflect.get(of, key) as unknown;
        if (key === "transaction") {
          return async (body: (inside: Store) => Promise<unknown>) => {
            step();
            const result = await (of as unknown as Store).transaction((inside) => body(around(inside))); // `key` is the store's
            step();
            return result;
          };
        }
        if (typeof value === "function") {
          return (...args: unknown[]) => {
            step();
            return (value as (...all: unknown[]) => unknown).apply(of, args);
          };
        }
        return typeof value === "object" && value !== null ? around(value) : value;
      },
    });
  return around(store);
}
