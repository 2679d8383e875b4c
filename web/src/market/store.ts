// What a tab must not lose: records in IndexedDB, each written whole before the step that needs it is taken.

import { type DBSchema, type IDBPDatabase, openDB } from "idb";

/** Tables of records by text keys. */
export const TABLES = ["keys", "uploads", "transactions", "tasks", "files"] as const;
export type TableName = (typeof TABLES)[number];

/** Durable records. Values are plain data, bytes or CryptoKeys: what the structured clone takes. */
export interface Store {
  get<Kept>(table: TableName, key: string): Promise<Kept | undefined>;
  put(table: TableName, key: string, value: unknown): Promise<void>;
  /** Write only where nothing is; what stands there afterwards. */
  putOnce<Kept>(table: TableName, key: string, value: Kept): Promise<Kept>;
  delete(table: TableName, key: string): Promise<void>;
  keys(table: TableName): Promise<string[]>;
}

type Schema = DBSchema & Record<TableName, { key: string; value: unknown }>;

/** The store of this origin. Several tabs may open it; one transaction at a time writes a table. */
export async function openStore(name = "shoal"): Promise<Store> {
  const database = await openDB<Schema>(name, 1, {
    upgrade(fresh) {
      for (const table of TABLES) fresh.createObjectStore(table);
    },
  });
  return new IndexedStore(database);
}

class IndexedStore implements Store {
  readonly #database: IDBPDatabase<Schema>;

  constructor(database: IDBPDatabase<Schema>) {
    this.#database = database;
  }

  async get<Kept>(table: TableName, key: string): Promise<Kept | undefined> {
    return (await this.#database.get(table, key)) as Kept | undefined;
  }

  async put(table: TableName, key: string, value: unknown): Promise<void> {
    const transaction = this.#database.transaction(table, "readwrite", { durability: "strict" });
    await transaction.store.put(value, key);
    await transaction.done;
  }

  async putOnce<Kept>(table: TableName, key: string, value: Kept): Promise<Kept> {
    const transaction = this.#database.transaction(table, "readwrite", { durability: "strict" });
    const there = (await transaction.store.get(key)) as Kept | undefined;
    if (there === undefined) await transaction.store.put(value, key);
    await transaction.done;
    return there ?? value;
  }

  async delete(table: TableName, key: string): Promise<void> {
    await this.#database.delete(table, key);
  }

  async keys(table: TableName): Promise<string[]> {
    return await this.#database.getAllKeys(table);
  }
}
