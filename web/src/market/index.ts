// The browser as the client of a task: what the page imports, and nothing else.

export { type Desk, type Order, type RunOptions, type Told, TaskClient, prepareTask, quoteOf, resumeTask } from "./client";
export { type Description, type Found, readData, split, targetOf } from "./data";
export type { Dataset, Split, Target } from "./dataset";
export { CallReverted, CryptoFault, DataError, LedgerError, MarketError, ShoalError, StorageError } from "./errors";
export { ApiError, type DocumentInfo, Gateway, type GraphQuote, type Info, type ReadyModel, type Session, type Template } from "./gateway";
export { type Address, type TaskId, accountText, taskOf } from "./ids";
export { type KeyState, type Keys, backupFile, createKeys, findKeys, markSaved, restoreKeys, unlockKeys } from "./keys";
export { Ledger, LedgerReader, type Landed, type LedgerSettings } from "./ledger";
export { type Tinybar, formatHbar, parseHbar } from "./money";
export type { Outlook } from "./outlook";
export { type Plan, escrow, planOf } from "./plan";
export { type TaskRecord, forgetTask, listTasks } from "./record";
export { type Result, fetchResult, goalOf } from "./result";
export { type Store, openStore } from "./store";
export type { Progress } from "./upload";
export type { Checkpoint, Phase, Seat, State, Update } from "./task";
export { sha256Of } from "./seal";
export { TaskLog } from "./tasklog";
export { type TensorInfo, readHeader } from "./tensor";
export { type DevSettings, type Wallet, WalletRefused, forgetDevWallet, openDevWallet, saveDevWallet, savedDevWallet } from "./wallet";
