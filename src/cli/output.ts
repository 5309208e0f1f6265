/**
 * Where a command's output goes. Results and the log of a job are lines on stdout; notices, errors and the live status
 * lines are on stderr. With --json stdout holds one JSON object a line and nothing else, the last one `done` (or `error`,
 * when the command could not be done), and stderr holds errors only.
 */
import type { SparseError } from "../util/errors.ts";
import { clip, errorText, reportOf, type Style, styleOf } from "./render.ts";

/** What an output needs of a stream. */
export interface Sink {
  write(text: string): unknown;
  readonly isTTY?: boolean;
  readonly columns?: number;
  readonly rows?: number;
}

export interface OutputOptions {
  readonly json: boolean;
  readonly stdout: Sink;
  readonly stderr: Sink;
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** Between two drawings of the status lines. */
const LIVE_EVERY_MS = 100;
/** Columns of a text that goes to a file or another program. */
const PIPED_WIDTH = 120;

export class Output {
  readonly json: boolean;
  /** Colours of stdout; plain when it is not a terminal or NO_COLOR is set. */
  readonly style: Style;
  /** Whether `live` draws anything. */
  readonly isLive: boolean;
  /** Columns of stdout; where it is not a terminal, what people read well. */
  readonly width: number;
  /** What the process will exit with. */
  exitCode = 0;
  private readonly stdout: Sink;
  private readonly stderr: Sink;
  private readonly errorStyle: Style;
  private readonly debug: boolean;
  /** Status lines on the screen. */
  private drawn = 0;
  private drawnAt = Number.NEGATIVE_INFINITY;

  constructor({ json, stdout, stderr, env }: OutputOptions) {
    this.json = json;
    this.stdout = stdout;
    this.stderr = stderr;
    const plain = Boolean(env.NO_COLOR) || env.TERM === "dumb";
    this.style = styleOf(stdout.isTTY === true && !plain);
    this.width = (stdout.isTTY && stdout.columns) || PIPED_WIDTH;
    this.errorStyle = styleOf(stderr.isTTY === true && !plain);
    this.isLive = stderr.isTTY === true && env.TERM !== "dumb" && !json;
    this.debug = Boolean(env.SPARSE_DEBUG);
  }

  /** One line of --json; nothing otherwise. NaN and infinities become null. */
  event<E extends { readonly event: string }>(event: E): void {
    if (this.json) this.stdout.write(`${JSON.stringify(event)}\n`);
  }

  /** Text for people, one or more lines; nothing with --json. */
  line(text = ""): void {
    if (this.json) return;
    this.clear();
    this.stdout.write(`${text}\n`);
  }

  /** Something the user should know though nothing failed: on stderr, or an event `notice`. */
  notice(text: string): void {
    this.event({ event: "notice", message: text });
    if (this.json) return;
    this.clear();
    this.stderr.write(`${this.errorStyle.yellow("note:")} ${text}\n`);
  }

  /** Rewrites the status lines, the last of them where the terminal is low; not more often than the eye needs. */
  live(text: string): void {
    const now = performance.now();
    if (!this.isLive || now - this.drawnAt < LIVE_EVERY_MS) return;
    const { columns, rows } = this.stderr;
    const lines = text.split("\n").slice(1 - (rows || 24));
    this.stderr.write(this.erasing() + lines.map((line) => clip(line, (columns || 80) - 1)).join("\n"));
    this.drawn = lines.length;
    this.drawnAt = now;
  }

  /** To the start of the status lines, with nothing after it. */
  private erasing(): string {
    return this.drawn > 1 ? `\r\u001b[${this.drawn - 1}A\u001b[J` : "\r\u001b[K";
  }

  /** Removes the status lines. */
  clear(): void {
    if (this.drawn > 0) this.stderr.write(this.erasing());
    this.drawn = 0;
    this.drawnAt = Number.NEGATIVE_INFINITY;
  }

  /** Tells of an exception, on stderr and as an event, and sets the exit code. */
  fail(error: unknown): void {
    this.clear();
    const report = reportOf(error);
    this.exitCode = report.exitCode;
    const { code, message, hint, exitCode } = report;
    this.event({ event: "error", code, message, exitCode, ...(hint === undefined ? {} : { hint }) });
    this.stderr.write(`${errorText(report, this.errorStyle, this.debug)}\n`);
  }

  /** Ends a job that has its results: `failure` is told first if the goal was missed, and `done` is the last event. */
  done(result: object, failure?: SparseError): void {
    if (failure !== undefined) this.fail(failure);
    this.clear();
    this.event({ event: "done", ...result });
  }
}
