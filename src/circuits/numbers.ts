/** Numbers of reports as text: those that stand together with the same decimals. */

/**
 * How to write these numbers, in about as many digits as mean something: whole ones as `1,234`, losses as `0.128`, `0.0042`
 * and `2.1e-6`; what is undefined as a dash.
 */
export function alike(values: readonly (number | null)[]): (x: number | null) => string {
  const sizes = values.flatMap((x) => (x === null ? [] : [Math.abs(x)])).filter(Number.isFinite);
  const whole = sizes.every(Number.isInteger);
  const decimals = whole ? 0 : decimalsOf(Math.max(...sizes), Math.min(...sizes.filter((x) => x > 0)));
  return (x) => {
    if (x === null || !Number.isFinite(x)) return "—";
    const size = Math.abs(x);
    const text = size > 0 && size < 0.5 / 10 ** decimals ? size.toExponential(1) : grouped(size.toFixed(decimals));
    return x < 0 ? `−${text}` : text;
  };
}

function decimalsOf(largest: number, smallest: number): number {
  if (largest >= 100) return 1;
  if (largest >= 10) return 2;
  if (largest >= 1) return 3;
  return smallest < 0.1 ? 4 : 3;
}

function grouped(text: string): string {
  return text.replace(/^\d+/, (digits) => digits.replace(/\B(?=(\d{3})+$)/g, ","));
}
