// NumPy's `default_rng([seed, stream]).permutation`, so that a tab draws the same rows as Python does.
//
// SeedSequence, PCG64 XSL-RR (O'Neill, 2014) and shuffles with masked bits, as in NumPy.

const WORD = 0xffff_ffffn;
const MASK_128 = (1n << 128n) - 1n;
const MASK_64 = (1n << 64n) - 1n;
const MULTIPLIER = (2549297995355413924n << 64n) + 4865540595714422341n;
const POOL = 4;

/** A generator of NumPy's default kind. */
export class Generator {
  #state = 0n;
  readonly #increment: bigint;
  #spare: number | null = null;

  /** As `np.random.default_rng([...entropy])`; whole numbers of any size. */
  constructor(entropy: readonly (number | bigint)[]) {
    const words = generateState(mixEntropy(entropy.flatMap((each) => uint32s(BigInt(each)))));
    const [high, low, incHigh, incLow] = [0, 2, 4, 6].map((at) => BigInt(words[at]!) | (BigInt(words[at + 1]!) << 32n));
    this.#increment = ((((incHigh! << 64n) | incLow!) << 1n) | 1n) & MASK_128;
    this.#advance();
    this.#state = (this.#state + ((high! << 64n) | low!)) & MASK_128;
    this.#advance();
  }

  /** Row numbers 0 to `size` - 1 in random order. */
  permutation(size: number): Uint32Array {
    return this.shuffled(Uint32Array.from({ length: size }, (_, index) => index));
  }

  /** A shuffled copy (Fisher and Yates). */
  shuffled(items: Uint32Array): Uint32Array {
    const made = items.slice();
    for (let index = made.length - 1; index > 0; index--) {
      const other = this.#below(index);
      [made[index], made[other]] = [made[other]!, made[index]!];
    }
    return made;
  }

  /** Uniform from 0 to `most`, both included: bits are drawn until they are not too many. */
  #below(most: number): number {
    const mask = 2 ** (32 - Math.clz32(most)) - 1;
    for (;;) {
      const drawn = (this.#uint32() & mask) >>> 0;
      if (drawn <= most) return drawn;
    }
  }

  #uint32(): number {
    if (this.#spare !== null) {
      const spare = this.#spare;
      this.#spare = null;
      return spare;
    }
    const drawn = this.#uint64();
    this.#spare = Number(drawn >> 32n);
    return Number(drawn & WORD);
  }

  #uint64(): bigint {
    this.#advance();
    const mixed = (this.#state >> 64n) ^ (this.#state & MASK_64);
    const turn = this.#state >> 122n;
    return ((mixed >> turn) | (mixed << ((64n - turn) & 63n))) & MASK_64;
  }

  #advance(): void {
    this.#state = (this.#state * MULTIPLIER + this.#increment) & MASK_128;
  }
}

/** A whole number as NumPy splits it: 32 bits at a time, the lowest first. */
function uint32s(value: bigint): number[] {
  const words = [Number(value & WORD)];
  for (let rest = value >> 32n; rest > 0n; rest >>= 32n) words.push(Number(rest & WORD));
  return words;
}

function mixEntropy(entropy: readonly number[]): number[] {
  let constant = 0x43b0d7e5;
  const hash = (value: number): number => {
    let mixed = (value ^ constant) >>> 0;
    constant = Math.imul(constant, 0x931e8875) >>> 0;
    mixed = Math.imul(mixed, constant) >>> 0;
    return (mixed ^ (mixed >>> 16)) >>> 0;
  };
  const mix = (x: number, y: number): number => {
    const mixed = (Math.imul(0xca01f9dd, x) - Math.imul(0x4973f715, y)) >>> 0;
    return (mixed ^ (mixed >>> 16)) >>> 0;
  };
  const pool = Array.from({ length: POOL }, (_, index) => hash(entropy[index] ?? 0));
  for (let source = 0; source < POOL; source++) {
    for (let place = 0; place < POOL; place++) {
      if (source !== place) pool[place] = mix(pool[place]!, hash(pool[source]!));
    }
  }
  for (const extra of entropy.slice(POOL)) {
    for (let place = 0; place < POOL; place++) pool[place] = mix(pool[place]!, hash(extra));
  }
  return pool;
}

function generateState(pool: readonly number[]): number[] {
  let constant = 0x8b51f9dd;
  return Array.from({ length: 8 }, (_, index) => {
    let value = (pool[index % POOL]! ^ constant) >>> 0;
    constant = Math.imul(constant, 0x58f38ded) >>> 0;
    value = Math.imul(value, constant) >>> 0;
    return (value ^ (value >>> 16)) >>> 0;
  });
}
