/**
 * Calibration of the final logits (Gao et al. 2025, A.5): z' = scale * z + shift, fitted to the task. Fitted freely it
 * overfits (scales in the thousands, held-out losses of several nats), so the scale is capped, and what is fitted on one
 * set of pairs is scored on another.
 *
 * The fit is convex: a logistic regression of the margins on themselves and the answers' shifts, solved by damped Newton.
 */
import { type Evaluator, lossOfMargins, type Score } from "./evaluator.ts";

export interface Answers {
  /** Token ids of each prompt's right and wrong completion. */
  readonly right: Int32Array;
  readonly wrong: Int32Array;
}

export interface Calibration {
  readonly scale: number;
  /** By answer token. */
  readonly shift: ReadonlyMap<number, number>;
}

/** Largest scale. */
export const SCALE_CAP = 10;
/** Weight of the squared shifts: fixes the common level, which no margin depends on, and keeps the fit finite. */
const RIDGE = 1e-4;
const ITERATIONS = 30;

/** Fits a scale in [0, cap] and a shift for each answer token. */
export function calibrate(margins: ArrayLike<number>, answers: Answers, cap = SCALE_CAP): Calibration {
  const tokens = [...new Set([...answers.right, ...answers.wrong])].sort((a, b) => a - b);
  const slot = new Map(tokens.map((token, i) => [token, i + 1]));
  const size = tokens.length + 1;
  const right = answers.right.map((token) => slot.get(token)!);
  const wrong = answers.wrong.map((token) => slot.get(token)!);
  const n = margins.length;
  let x = new Float64Array(size);
  x[0] = Math.min(1, cap);
  const objective = (at: Float64Array): number => {
    let sum = 0;
    for (let p = 0; p < n; p++) sum += softplus(-(at[0]! * margins[p]! + at[right[p]!]! - at[wrong[p]!]!));
    let ridge = 0;
    for (let i = 1; i < size; i++) ridge += at[i]! ** 2;
    return sum / n + RIDGE * ridge;
  };
  let value = objective(x);
  for (let iteration = 0; iteration < ITERATIONS; iteration++) {
    const gradient = new Float64Array(size);
    const hessian = Array.from({ length: size }, (_, i) => {
      const row = new Float64Array(size);
      row[i] = i === 0 ? 1e-12 : 2 * RIDGE;
      return row;
    });
    for (let i = 1; i < size; i++) gradient[i] = 2 * RIDGE * x[i]!;
    for (let p = 0; p < n; p++) {
      const m = margins[p]!;
      const s = 1 / (1 + Math.exp(x[0]! * m + x[right[p]!]! - x[wrong[p]!]!));
      const r = right[p]!;
      const w = wrong[p]!;
      const slope = s / n;
      const curve = (s * (1 - s)) / n;
      gradient[0]! -= slope * m;
      gradient[r]! -= slope;
      gradient[w]! += slope;
      // The upper triangle: the scale's row and the pairs of answers.
      hessian[0]![0]! += curve * m * m;
      hessian[0]![r]! += curve * m;
      hessian[0]![w]! -= curve * m;
      hessian[r]![r]! += curve;
      hessian[w]![w]! += curve;
      hessian[Math.min(r, w)]![Math.max(r, w)]! -= curve;
    }
    for (let i = 0; i < size; i++) for (let j = 0; j < i; j++) hessian[i]![j] = hessian[j]![i]!;
    // A scale that presses against a bound stays there.
    if ((x[0]! >= cap && gradient[0]! < 0) || (x[0]! <= 0 && gradient[0]! > 0)) {
      gradient[0] = 0;
      hessian[0]!.fill(0);
      for (const row of hessian) row[0] = 0;
      hessian[0]![0] = 1;
    }
    const step = solve(hessian, gradient);
    let damping = 1;
    let next = x;
    let nextValue = value;
    for (let tries = 0; tries < 20; tries++, damping /= 2) {
      const trial = x.map((v, i) => v - damping * step[i]!);
      trial[0] = Math.max(0, Math.min(cap, trial[0]!));
      const trialValue = objective(trial);
      if (trialValue < nextValue) {
        next = trial;
        nextValue = trialValue;
        break;
      }
    }
    const gained = value - nextValue;
    x = next;
    value = nextValue;
    if (gained < 1e-9) break;
  }
  return { scale: x[0]!, shift: new Map(tokens.map((token, i) => [token, x[i + 1]!])) };
}

/** Margins after a calibration. */
export function applyCalibration(margins: ArrayLike<number>, answers: Answers, c: Calibration): Float64Array {
  return Float64Array.from(
    margins,
    (m, p) => c.scale * m + c.shift.get(answers.right[p]!)! - c.shift.get(answers.wrong[p]!)!,
  );
}

/** An evaluator whose scores are calibrated: fitted on `fitOn`, scored on `scoreOn` (the same one when left out). */
export function calibratedEvaluator(
  fitOn: { evaluator: Evaluator; answers: Answers },
  scoreOn: { evaluator: Evaluator; answers: Answers } = fitOn,
): Evaluator {
  return {
    score(kept: Uint8Array): Score {
      const fitted = fitOn.evaluator.score(kept).margins;
      const calibration = calibrate(fitted, fitOn.answers);
      const raw = scoreOn === fitOn ? fitted : scoreOn.evaluator.score(kept).margins;
      const margins = applyCalibration(raw, scoreOn.answers, calibration);
      return { loss: lossOfMargins(margins), margins };
    },
  };
}

function softplus(x: number): number {
  return x > 0 ? x + Math.log1p(Math.exp(-x)) : Math.log1p(Math.exp(x));
}

/** Gaussian elimination with partial pivoting of a small positive definite system. */
function solve(matrix: readonly Float64Array[], vector: Float64Array): Float64Array {
  const n = vector.length;
  const a = matrix.map((row, i) => Float64Array.from([...row, vector[i]!]));
  for (let c = 0; c < n; c++) {
    let pivot = c;
    for (let r = c + 1; r < n; r++) if (Math.abs(a[r]![c]!) > Math.abs(a[pivot]![c]!)) pivot = r;
    [a[c], a[pivot]] = [a[pivot]!, a[c]!];
    if (Math.abs(a[c]![c]!) < 1e-18) continue;
    for (let r = 0; r < n; r++) {
      if (r === c) continue;
      const factor = a[r]![c]! / a[c]![c]!;
      if (factor !== 0) for (let j = c; j <= n; j++) a[r]![j]! -= factor * a[c]![j]!;
    }
  }
  return Float64Array.from({ length: n }, (_, i) => (Math.abs(a[i]![i]!) < 1e-18 ? 0 : a[i]![n]! / a[i]![i]!));
}
