/**
 * A reader of Python pickles (protocols 2 to 5) that executes nothing. Globals are looked up in an allow-list of
 * TypeScript functions given by the caller; any other global is refused by name. Every malformed, truncated or
 * unsupported input is an input error.
 *
 * Not supported, because state dicts do not contain them: protocol 0 and 1 text opcodes, sets, classes with state.
 */
import { inputError, type SparseError } from "../../util/errors.ts";

/** A Python tuple; a list is a plain array, a dict (also an OrderedDict) is a Map. */
export class PickleTuple {
  readonly items: readonly PickleValue[];
  constructor(items: readonly PickleValue[]) {
    this.items = items;
  }
}

/** An allowed Python name. `call` is absent for names that may be mentioned but not called. */
export class PickleGlobal {
  readonly name: string;
  readonly call: ((args: readonly PickleValue[]) => PickleValue) | undefined;
  constructor(name: string, call?: (args: readonly PickleValue[]) => PickleValue) {
    this.name = name;
    this.call = call;
  }
}

/** Base of the caller's own values: what its globals and persistent ids return. */
export abstract class PickleObject {
  /** What errors call it. */
  abstract readonly kind: string;
}

type PickleDict = Map<PickleValue, PickleValue>;
export type PickleValue =
  | null
  | boolean
  | number
  | string
  | PickleTuple
  | PickleGlobal
  | PickleObject
  | PickleValue[]
  | PickleDict;

export interface PickleHost {
  /** What errors call the file. */
  readonly label: string;
  /** Allowed globals by `module.name`. */
  readonly globals: ReadonlyMap<string, PickleGlobal>;
  /** Resolves a persistent id. */
  readonly persistent: (id: PickleValue) => PickleValue;
  /** BUILD: may accept or refuse the state of an object; nothing is stored. */
  readonly build: (object: PickleValue, state: PickleValue) => void;
}

const HIGHEST_PROTOCOL = 5;

/** The value of a pickle. Bytes after its STOP are ignored, as in Python. */
export function readPickle(bytes: Uint8Array, host: PickleHost): PickleValue {
  return new Machine(bytes, host).run();
}

/** The stack machine: `stack` holds the values since the last mark, `marks` the stacks below. */
class Machine {
  private readonly data: DataView;
  private readonly bytes: Uint8Array;
  private readonly host: PickleHost;
  private readonly memo = new Map<number, PickleValue>();
  private readonly marks: PickleValue[][] = [];
  private stack: PickleValue[] = [];
  private at = 0;

  constructor(bytes: Uint8Array, host: PickleHost) {
    this.bytes = bytes;
    this.data = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.host = host;
  }

  run(): PickleValue {
    for (;;) {
      const opcode = this.bytes[this.take(1)]!;
      if (opcode === 0x2e) return this.pop(); // STOP
      const step = OPCODES.get(opcode);
      if (step === undefined) {
        throw this.bad(`opcode 0x${opcode.toString(16).padStart(2, "0")} at byte ${this.at - 1} is not supported`);
      }
      step(this);
    }
  }

  bad(what: string): SparseError {
    return inputError(
      "bad-pickle",
      `${this.host.label}: its pickle cannot be read: ${what}`,
      "Copy or download the file again.",
    );
  }

  // ---- input

  /** Advances by `length` bytes and returns where they start. */
  take(length: number): number {
    const start = this.at;
    if (start + length > this.bytes.length) throw this.bad(`truncated at byte ${this.bytes.length}`);
    this.at = start + length;
    return start;
  }

  uint(size: 1 | 2 | 4): number {
    const at = this.take(size);
    return size === 1 ? this.bytes[at]! : size === 2 ? this.data.getUint16(at, true) : this.data.getUint32(at, true);
  }

  uint64(): number {
    return this.safe(this.data.getBigUint64(this.take(8), true));
  }

  float(): number {
    return this.data.getFloat64(this.take(8), false);
  }

  /** A two's-complement little-endian integer of any length. */
  long(length: number): number {
    const start = this.take(length);
    let value = 0n;
    if (length > 8) throw this.bad(`an integer of ${length} bytes is out of range`);
    for (let i = length - 1; i >= 0; i--) value = (value << 8n) | BigInt(this.bytes[start + i]!);
    return this.safe(BigInt.asIntN(8 * length, value));
  }

  text(length: number): string {
    const start = this.take(length);
    return Buffer.from(this.bytes.buffer, this.bytes.byteOffset + start, length).toString("utf8");
  }

  line(): string {
    const end = this.bytes.indexOf(0x0a, this.at);
    if (end < 0) throw this.bad("truncated inside a name");
    const text = this.text(end - this.at);
    this.take(1);
    return text;
  }

  private safe(value: bigint): number {
    const n = Number(value);
    if (!Number.isSafeInteger(n)) throw this.bad(`integer ${value} is out of range`);
    return n;
  }

  // ---- stack and memo

  push(value: PickleValue): void {
    this.stack.push(value);
  }

  pop(): PickleValue {
    const value = this.stack.pop();
    if (value === undefined) throw this.bad("a value is missing on the stack");
    return value;
  }

  /** The value on top, which stays. */
  top(): PickleValue {
    const value = this.stack.at(-1);
    if (value === undefined) throw this.bad("a value is missing on the stack");
    return value;
  }

  mark(): void {
    this.marks.push(this.stack);
    this.stack = [];
  }

  popToMark(): PickleValue[] {
    const items = this.stack;
    const below = this.marks.pop();
    if (below === undefined) throw this.bad("a mark is missing on the stack");
    this.stack = below;
    return items;
  }

  popTuple(length: number): PickleTuple {
    const items = Array.from({ length }, () => this.pop());
    return new PickleTuple(items.reverse());
  }

  put(index: number): void {
    this.memo.set(index, this.top());
  }

  memoize(): void {
    this.put(this.memo.size);
  }

  get(index: number): void {
    const value = this.memo.get(index);
    if (value === undefined) throw this.bad(`memo entry ${index} is missing`);
    this.push(value);
  }

  // ---- objects

  append(items: readonly PickleValue[]): void {
    const list = this.top();
    if (!Array.isArray(list)) throw this.bad("append to something that is not a list");
    for (const item of items) list.push(item);
  }

  setItems(items: readonly PickleValue[]): void {
    const dict = this.top();
    if (!(dict instanceof Map)) throw this.bad("an item is set in something that is not a dict");
    if (items.length % 2 !== 0) throw this.bad("a dict has a key without a value");
    for (let i = 0; i < items.length; i += 2) {
      const key = items[i]!;
      if (typeof key === "object" && key !== null) throw this.bad("a dict key is neither text nor a number");
      dict.set(key, items[i + 1]!);
    }
  }

  global(module: PickleValue, name: PickleValue): void {
    const full = typeof module === "string" && typeof name === "string" ? `${module}.${name}` : undefined;
    if (full === undefined) throw this.bad("a global has no name");
    const known = this.host.globals.get(full);
    if (known === undefined) {
      throw inputError(
        "pickle-global",
        `${this.host.label} refers to ${JSON.stringify(full.slice(0, 200))}, which is not allowed; nothing was executed`,
        "Only a state dict of plain tensors can be read: save `model.state_dict()` with torch.save, and trust the file's source before loading it in Python.",
      );
    }
    this.push(known);
  }

  reduce(): void {
    const args = this.pop();
    const callee = this.pop();
    if (!(callee instanceof PickleGlobal) || callee.call === undefined || !(args instanceof PickleTuple)) {
      throw this.bad(`${callee instanceof PickleGlobal ? callee.name : "a value"} cannot be called`);
    }
    this.push(callee.call(args.items));
  }

  build(): void {
    const state = this.pop();
    this.host.build(this.top(), state);
  }

  persistent(): void {
    this.push(this.host.persistent(this.pop()));
  }

  protocol(version: number): void {
    if (version < 2 || version > HIGHEST_PROTOCOL) throw this.bad(`protocol ${version} is not supported`);
  }
}

/** What torch.save writes with pickle protocols 2 to 5. */
const OPCODES: ReadonlyMap<number, (m: Machine) => void> = new Map<number, (m: Machine) => void>([
  [0x80, (m) => m.protocol(m.uint(1))], // PROTO
  [0x95, (m) => void m.take(8)], // FRAME: its length is advice for buffering
  [0x28, (m) => m.mark()], // MARK
  [0x4e, (m) => m.push(null)], // NONE
  [0x88, (m) => m.push(true)], // NEWTRUE
  [0x89, (m) => m.push(false)], // NEWFALSE
  [0x4a, (m) => m.push(m.uint(4) | 0)], // BININT
  [0x4b, (m) => m.push(m.uint(1))], // BININT1
  [0x4d, (m) => m.push(m.uint(2))], // BININT2
  [0x8a, (m) => m.push(m.long(m.uint(1)))], // LONG1
  [0x8b, (m) => m.push(m.long(m.uint(4)))], // LONG4
  [0x47, (m) => m.push(m.float())], // BINFLOAT
  [0x58, (m) => m.push(m.text(m.uint(4)))], // BINUNICODE
  [0x8c, (m) => m.push(m.text(m.uint(1)))], // SHORT_BINUNICODE
  [0x8d, (m) => m.push(m.text(m.uint64()))], // BINUNICODE8
  [0x29, (m) => m.push(new PickleTuple([]))], // EMPTY_TUPLE
  [0x85, (m) => m.push(m.popTuple(1))], // TUPLE1
  [0x86, (m) => m.push(m.popTuple(2))], // TUPLE2
  [0x87, (m) => m.push(m.popTuple(3))], // TUPLE3
  [0x74, (m) => m.push(new PickleTuple(m.popToMark()))], // TUPLE
  [0x5d, (m) => m.push([])], // EMPTY_LIST
  [0x61, (m) => m.append([m.pop()])], // APPEND
  [0x65, (m) => m.append(m.popToMark())], // APPENDS
  [0x7d, (m) => m.push(new Map())], // EMPTY_DICT
  [0x73, (m) => m.setItems(m.popTuple(2).items)], // SETITEM
  [0x75, (m) => m.setItems(m.popToMark())], // SETITEMS
  [0x71, (m) => m.put(m.uint(1))], // BINPUT
  [0x72, (m) => m.put(m.uint(4))], // LONG_BINPUT
  [0x94, (m) => m.memoize()], // MEMOIZE
  [0x68, (m) => m.get(m.uint(1))], // BINGET
  [0x6a, (m) => m.get(m.uint(4))], // LONG_BINGET
  [0x63, (m) => m.global(m.line(), m.line())], // GLOBAL: module, then name
  [0x93, (m) => m.global(...(m.popTuple(2).items as [PickleValue, PickleValue]))], // STACK_GLOBAL
  [0x52, (m) => m.reduce()], // REDUCE
  [0x62, (m) => m.build()], // BUILD
  [0x51, (m) => m.persistent()], // BINPERSID
]);
