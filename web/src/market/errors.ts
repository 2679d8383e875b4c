// Errors for people: what happened, is the money safe, what to do. Codes are those of docs/errors.md.

export interface Told {
  readonly code: string;
  readonly hint?: string;
  readonly money?: string;
}

/** Base of every error that a user of the library can meet. `message` never holds a secret. */
export class ShoalError extends Error {
  readonly code: string;
  readonly hint: string;
  readonly money: string;

  constructor(message: string, told: Told, options?: ErrorOptions) {
    super(message, options);
    this.name = new.target.name;
    this.code = told.code;
    this.hint = told.hint ?? "";
    this.money = told.money ?? "";
  }
}

/** The data set cannot be used. Nothing was spent. */
export class DataError extends ShoalError {
  constructor(message: string, told: Told) {
    super(message, { money: "nothing was spent by this", ...told });
  }
}

/** A ciphertext, signature, hash or key does not match. */
export class CryptoFault extends ShoalError {}

/** The ledger refused, or cannot be reached. */
export class LedgerError extends ShoalError {}

/** A call of the contract that it refused; `reason` is the name of the contract's error. */
export class CallReverted extends LedgerError {
  constructor(
    message: string,
    readonly reason: string,
  ) {
    super(message, { code: "SHOAL-L02", money: "nothing but the fee of the call was spent" });
  }
}

/** Storage refused an object, or cannot be reached. */
export class StorageError extends ShoalError {}

/** Nobody to train, too small a budget, or a task that ended early. */
export class MarketError extends ShoalError {}
