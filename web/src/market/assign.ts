// Who holds which chunk: a primary and a backup for each, nobody more of either than it bid for.

/** The seats (by index) that hold a chunk. One without a primary lapses at once, unpaid and refunded. */
export interface Holders {
  readonly primary: number | null;
  readonly backup: number | null;
}

/** Deal chunks to the seats in turn, each up to its units; what nobody took on has no holder and lapses. */
export function assign(seats: readonly { readonly units: number }[], chunks: number): Holders[] {
  const room = seats.map((seat) => seat.units);
  const spare = [...room];
  const primaries: number[] = [];
  while (primaries.length < chunks && room.some((left) => left > 0)) {
    for (let index = 0; index < seats.length && primaries.length < chunks; index++) {
      if (room[index]! > 0) {
        room[index]!--;
        primaries.push(index);
      }
    }
  }
  const holders = primaries.map((primary): Holders => {
    const backup = nextWith(spare, primary);
    if (backup !== null) spare[backup]!--;
    return { primary, backup };
  });
  while (holders.length < chunks) holders.push({ primary: null, backup: null });
  return holders;
}

/** The next seat in turn that has room for one more backup. */
function nextWith(spare: readonly number[], after: number): number | null {
  for (let step = 1; step < spare.length; step++) {
    const index = (after + step) % spare.length;
    if (spare[index]! > 0) return index;
  }
  return null;
}
