/**
 * Values, tables and errors as text. Pure functions: what is printed where is the business of output.ts.
 */
import { SparseError } from "../util/errors.ts";
import { count, plural } from "../util/text.ts";

export { count, plural };

/** Terminal colours, or nothing at all. */
export interface Style {
  bold(text: string): string;
  dim(text: string): string;
  red(text: string): string;
  green(text: string): string;
  yellow(text: string): string;
}

const CODES = { bold: [1, 22], dim: [2, 22], red: [31, 39], green: [32, 39], yellow: [33, 39] } as const;

export function styleOf(color: boolean): Style {
  const make =
    ([on, off]: readonly [number, number]) =>
    (text: string): string =>
      color && text !== "" ? `\u001b[${on}m${text}\u001b[${off}m` : text;
  return {
    bold: make(CODES.bold),
    dim: make(CODES.dim),
    red: make(CODES.red),
    green: make(CODES.green),
    yellow: make(CODES.yellow),
  };
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: these are the escape sequences of `styleOf`
const ESCAPES = /\u001b\[[0-9;]*m/g;

/** Columns that a text takes on the terminal, colours not counted. */
export function textWidth(text: string): number {
  return [...text.replace(ESCAPES, "")].length;
}

export interface Column {
  readonly title: string;
  /** Numbers stand right, everything else left (the default). */
  readonly align?: "left" | "right";
}

/** Rows under titles, two spaces apart, indented by `indent`. No trailing spaces, no newline at the end. */
export function table(
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
  { style = styleOf(false), indent = "  " }: { readonly style?: Style; readonly indent?: string } = {},
): string {
  const widths = columns.map(({ title }, c) =>
    Math.max(textWidth(title), ...rows.map((row) => textWidth(row[c] ?? ""))),
  );
  const line = (cells: readonly string[]): string =>
    `${indent}${columns.map(({ align }, c) => pad(cells[c] ?? "", widths[c]!, align)).join("  ")}`.trimEnd();
  const titles = columns.map(({ title, align }, c) => style.dim(pad(title, widths[c]!, align)));
  return [line(titles), ...rows.map(line)].join("\n");
}

/** A text filled up to a width, colours not counted. */
export function pad(text: string, width: number, align: "left" | "right" = "left"): string {
  const fill = " ".repeat(Math.max(0, width - textWidth(text)));
  return align === "right" ? fill + text : text + fill;
}

/** A text cut to a width, for lines that must not wrap; it must hold no colours. */
export function clip(text: string, width: number): string {
  return textWidth(text) <= width ? text : `${[...text].slice(0, Math.max(0, width - 1)).join("")}…`;
}

/** `99.8%`; 100% and 0% only when exact. */
export function percent(x: number): string {
  if (x === 0 || x === 1) return `${100 * x}%`;
  return `${Math.min(99.9, Math.max(0.1, 100 * x)).toFixed(1)}%`;
}

/** Losses in nats: `2.311`, and `0.0042` where three decimals would say too little. */
export function nats(x: number): string {
  if (!Number.isFinite(x)) return String(x);
  return Math.abs(x) < 0.1 ? x.toFixed(4) : x.toFixed(3);
}

/** Densities: `1/64`, where it is one over a whole number, else `0.0159`. */
export function fraction(x: number): string {
  const inverse = Math.round(1 / x);
  if (x === 1 || x === 0) return String(x);
  return inverse > 1 && Math.abs(x * inverse - 1) < 1e-9 ? `1/${inverse}` : x.toPrecision(3);
}

/** `970`, `52.1k`, `1.20M` */
export function short(n: number): string {
  if (!Number.isFinite(n)) return "-";
  if (n < 1000) return n.toFixed(0);
  if (n < 999_950) return `${(n / 1e3).toFixed(1)}k`;
  return `${(n / 1e6).toFixed(2)}M`;
}

/** `0:21`, `12:05`, `1:02:03` */
export function clock(seconds: number): string {
  if (!Number.isFinite(seconds)) return "-";
  const all = Math.max(0, Math.round(seconds));
  const [h, m, s] = [Math.floor(all / 3600), Math.floor(all / 60) % 60, all % 60];
  const two = (n: number): string => String(n).padStart(2, "0");
  return h > 0 ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}

/** What the user is told of an exception. */
export interface ErrorReport {
  readonly code: string;
  readonly message: string;
  readonly hint: string | undefined;
  readonly exitCode: number;
  /** Where it happened; only of defects. */
  readonly stack?: string;
}

export function reportOf(error: unknown): ErrorReport {
  if (error instanceof SparseError) {
    const { code, message, hint, exitCode } = error;
    return { code, message, hint, exitCode };
  }
  const message = error instanceof Error ? error.message || error.name : String(error);
  const stack = error instanceof Error ? error.stack : undefined;
  return {
    code: "defect",
    message,
    hint: "This is a defect of the tool, not of what you asked. Run again with SPARSE_DEBUG=1 for its place in the code.",
    exitCode: 1,
    ...(stack === undefined ? {} : { stack }),
  };
}

/** `error: ...` and `hint: ...`; the stack of a defect only when `debug`. */
export function errorText(report: ErrorReport, style: Style, debug: boolean): string {
  const lines = [`${style.red("error:")} ${report.message}`];
  if (report.hint !== undefined) lines.push(`${style.yellow("hint:")} ${report.hint}`);
  if (debug && report.stack !== undefined) lines.push(report.stack);
  return lines.join("\n");
}
