/**
 * Reads what `torch.save(model.state_dict(), path)` writes (torch 1.6 and later): a zip with a pickle and one raw
 * record for each storage. Only calls that rebuild plain tensors are understood; nothing is executed. Values come
 * back as float32, row-major, also from strided and offset views.
 */
import { inputError, type SparseError } from "../../util/errors.ts";
import { type ByteSource, withFile } from "../../util/files.ts";
import { DTYPE_BYTES, type Dtype, firstNonFinite, toFloat32 } from "../dtypes.ts";
import { PickleGlobal, type PickleHost, PickleObject, PickleTuple, type PickleValue, readPickle } from "./pickle.ts";
import { readZipDirectory, readZipEntry, type ZipEntry } from "./zip.ts";

export interface StateTensor {
  readonly shape: number[];
  readonly values: Float32Array;
}

const STORAGES: Readonly<Record<string, Dtype>> = {
  DoubleStorage: "F64",
  FloatStorage: "F32",
  HalfStorage: "F16",
  BFloat16Storage: "BF16",
  LongStorage: "I64",
  IntStorage: "I32",
  ShortStorage: "I16",
  CharStorage: "I8",
  ByteStorage: "U8",
  BoolStorage: "BOOL",
};

const MAX_RANK = 16;

class Storage extends PickleObject {
  readonly kind = "a storage";
  readonly key: string;
  readonly dtype: Dtype;
  readonly length: number;
  constructor(key: string, dtype: Dtype, length: number) {
    super();
    this.key = key;
    this.dtype = dtype;
    this.length = length;
  }
}

/** A view of a storage, bounds already checked. */
class TensorView extends PickleObject {
  readonly kind = "a tensor";
  readonly storage: Storage;
  readonly offset: number;
  readonly shape: number[];
  readonly stride: number[];
  readonly count: number;
  constructor(storage: Storage, offset: number, shape: number[], stride: number[], count: number) {
    super();
    this.storage = storage;
    this.offset = offset;
    this.shape = shape;
    this.stride = stride;
    this.count = count;
  }
}

function malformed(label: string, what: string): SparseError {
  return inputError("bad-tensor", `${label}: ${what}`, "Copy or download the file again.");
}

function isCount(value: PickleValue | undefined): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}

function counts(value: PickleValue | undefined): number[] | undefined {
  return value instanceof PickleTuple && value.items.length <= MAX_RANK && value.items.every(isCount)
    ? [...value.items]
    : undefined;
}

/** torch._utils._rebuild_tensor_v2(storage, offset, size, stride, requires_grad, hooks[, metadata]) */
function rebuildTensor(label: string, args: readonly PickleValue[]): TensorView {
  const [storage, offset, size, strides] = args;
  const shape = counts(size);
  const stride = counts(strides);
  if (!(storage instanceof Storage) || !isCount(offset) || !shape || !stride || shape.length !== stride.length) {
    throw malformed(label, "a tensor has malformed sizes or no storage");
  }
  const count = shape.reduce((a, b) => a * b, 1);
  const last = shape.reduce((sum, n, i) => sum + (n - 1) * stride[i]!, offset);
  // A view that repeats entries could be far larger than the file; state dicts do not contain such.
  if (count > 0 && (last >= storage.length || count > storage.length)) {
    throw malformed(
      label,
      `a tensor of shape [${shape}], stride [${stride}], offset ${offset} does not fit its storage of ${storage.length} entries`,
    );
  }
  return new TensorView(storage, offset, shape, stride, count);
}

function rebuildParameter(label: string, args: readonly PickleValue[]): TensorView {
  const [data] = args;
  if (!(data instanceof TensorView)) throw malformed(label, "a parameter has no tensor");
  return data;
}

function orderedDict(label: string, args: readonly PickleValue[]): PickleValue {
  if (args.length > 0) throw malformed(label, "an OrderedDict is made with arguments");
  return new Map();
}

function makeHost(label: string): PickleHost {
  const globals = new Map<string, PickleGlobal>();
  const allow = (name: string, call?: (label: string, args: readonly PickleValue[]) => PickleValue): void => {
    globals.set(name, new PickleGlobal(name, call && ((args) => call(label, args))));
  };
  allow("collections.OrderedDict", orderedDict);
  allow("torch._utils._rebuild_tensor_v2", rebuildTensor);
  allow("torch._utils._rebuild_parameter", rebuildParameter);
  for (const name of Object.keys(STORAGES)) allow(`torch.${name}`);

  const storages = new Map<string, Storage>();
  const persistent = (id: PickleValue): Storage => {
    const [tag, type, key, , length] = id instanceof PickleTuple ? id.items : [];
    const dtype = type instanceof PickleGlobal ? STORAGES[type.name.replace("torch.", "")] : undefined;
    if (tag !== "storage" || dtype === undefined || typeof key !== "string" || !isCount(length)) {
      throw malformed(label, "a persistent id is not a storage");
    }
    const known = storages.get(key) ?? new Storage(key, dtype, length);
    if (known.dtype !== dtype || known.length !== length) throw malformed(label, `storage ${key} has two types`);
    storages.set(key, known);
    return known;
  };

  const build = (object: PickleValue, state: PickleValue): void => {
    // A state dict carries the versions of its modules as an attribute; they do not matter here.
    const harmless = object instanceof Map && state instanceof Map && [...state.keys()].every((k) => k === "_metadata");
    if (!harmless) throw malformed(label, "the pickle sets the state of an object other than a state dict");
  };
  return { label, globals, persistent, build };
}

/** Whether the view is its whole storage in row-major order. */
function isWhole(view: TensorView): boolean {
  let expected = 1;
  for (let d = view.shape.length - 1; d >= 0; d--) {
    if (view.shape[d] !== 1 && view.stride[d] !== expected) return false;
    expected *= view.shape[d]!;
  }
  return view.offset === 0 && view.count === view.storage.length;
}

/** The view's entries in row-major order. */
function gather(view: TensorView, storage: Float32Array): Float32Array {
  const { shape, stride, count } = view;
  const out = new Float32Array(count);
  const index = shape.map(() => 0);
  let from = view.offset;
  for (let i = 0; i < count; i++) {
    out[i] = storage[from]!;
    for (let d = shape.length - 1; d >= 0; d--) {
      from += stride[d]!;
      if (++index[d]! < shape[d]!) break;
      from -= index[d]! * stride[d]!;
      index[d] = 0;
    }
  }
  return out;
}

/** Why a file that does not start as a zip is none, where that can be said. */
function explainForeign(source: ByteSource): void {
  const start = source.read(0, Math.min(source.size, 40));
  const text = Buffer.from(start).toString("latin1");
  if (text.startsWith("PK")) return;
  if (text.startsWith("version https://git-lfs")) {
    throw inputError(
      "git-lfs-pointer",
      `${source.label} is a Git LFS pointer, not the file itself`,
      "Run `git lfs pull`.",
    );
  }
  if (text.startsWith("\x80\x02\x8a\x0a\x6c\xfc")) {
    throw inputError(
      "old-torch-file",
      `${source.label} has the format of torch before 1.6`,
      "Load it in Python with torch 1.6 or later and save it again with torch.save.",
    );
  }
  throw inputError(
    "not-a-torch-file",
    `${source.label} is not a file of torch.save: expected a zip file`,
    "Check the path, or copy or download the file again.",
  );
}

function readTensors(label: string, root: PickleValue): Map<string, TensorView> {
  const views = new Map<string, TensorView>();
  if (!(root instanceof Map)) throw malformed(label, "expected a state dict, received something else");
  for (const [name, value] of root) {
    if (typeof name !== "string" || !(value instanceof TensorView)) {
      throw inputError(
        "not-a-state-dict",
        `${label}: expected a state dict of tensors, but its entry ${JSON.stringify(name)} is not a tensor`,
        "Save `model.state_dict()` itself with torch.save.",
      );
    }
    views.set(name, value);
  }
  return views;
}

function readStorage(
  source: ByteSource,
  entries: ReadonlyMap<string, ZipEntry>,
  top: string,
  storage: Storage,
): Float32Array {
  const name = `${top}data/${storage.key}`;
  const entry = entries.get(name);
  if (entry === undefined) throw malformed(source.label, `the record ${name} is missing`);
  const expected = storage.length * DTYPE_BYTES[storage.dtype];
  if (entry.size !== expected) {
    throw malformed(source.label, `record ${name}: expected ${expected} bytes but received ${entry.size}`);
  }
  return toFloat32(readZipEntry(source, entry), storage.dtype);
}

/** `readTorchStateDict` from bytes that are already open. */
export function parseTorchStateDict(source: ByteSource): Map<string, StateTensor> {
  const { label } = source;
  explainForeign(source);
  const entries = readZipDirectory(source);
  const pickle = [...entries.values()].find((e) => e.name === "data.pkl" || e.name.endsWith("/data.pkl"));
  if (pickle === undefined) throw malformed(label, "the record data.pkl is missing: this is not a file of torch.save");
  const top = pickle.name.slice(0, -"data.pkl".length);
  const byteOrder = entries.get(`${top}byteorder`);
  if (byteOrder !== undefined && Buffer.from(readZipEntry(source, byteOrder)).toString() !== "little") {
    throw inputError("big-endian", `${label} was saved on a big-endian machine`, "Save it on a little-endian machine.");
  }
  const views = readTensors(label, readPickle(readZipEntry(source, pickle), makeHost(label)));
  // Many names of one storage could ask for far more memory than the file has bytes.
  let total = 0;
  for (const view of views.values()) total += view.count;
  if (total > source.size) throw malformed(label, `its tensors have ${total} entries, more than the file has bytes`);

  // Storage by storage: each is read once and let go, and a view of a whole storage takes it over without a copy.
  const namesOf = new Map<Storage, string[]>();
  for (const [name, { storage }] of views) {
    const names = namesOf.get(storage);
    if (names === undefined) namesOf.set(storage, [name]);
    else names.push(name);
  }
  const values = new Map<string, Float32Array>();
  for (const [storage, names] of namesOf) {
    const stored = readStorage(source, entries, top, storage);
    let free = true;
    for (const name of names) {
      const view = views.get(name)!;
      const whole = free && isWhole(view);
      if (whole) free = false;
      const own = whole ? stored : gather(view, stored);
      const bad = firstNonFinite(own);
      if (bad >= 0) {
        throw inputError(
          "not-finite",
          `${label}: tensor ${name} has the value ${own[bad]} at entry ${bad}`,
          "The model diverged or the file is damaged; use another checkpoint.",
        );
      }
      values.set(name, own);
    }
  }
  return new Map([...views].map(([name, view]) => [name, { shape: view.shape, values: values.get(name)! }]));
}

/**
 * The tensors of a state dict saved by torch.save, by name, in the file's order. Names of one storage (tied weights)
 * are separate entries. Throws an input error for anything malformed, foreign, not allowed, or not finite.
 */
export function readTorchStateDict(path: string): Map<string, StateTensor> {
  return withFile(path, parseTorchStateDict);
}
