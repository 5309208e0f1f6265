/** A process that answers one line of JSON for each line of JSON: both sides of the benchmark are one. */
import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { createInterface } from "node:readline";

export class Child {
  private readonly process: ChildProcessWithoutNullStreams;
  private readonly answers: AsyncIterator<string>;
  private readonly label: string;
  private errors = "";

  constructor(label: string, command: string, args: readonly string[], env: Readonly<Record<string, string>> = {}) {
    this.label = label;
    this.process = spawn(command, args, { env: { ...process.env, ...env }, stdio: "pipe" });
    this.process.stderr.setEncoding("utf8").on("data", (text: string) => {
      this.errors = (this.errors + text).slice(-4000);
    });
    // What a dying process leaves unread is told by its exit.
    this.process.stdin.on("error", () => {});
    this.process.on("error", (error) => {
      this.errors += error.message;
    });
    this.answers = createInterface({ input: this.process.stdout })[Symbol.asyncIterator]();
  }

  /** Throws when the process dies instead of answering. */
  async ask<Answer>(request: Readonly<Record<string, unknown>>): Promise<Answer> {
    this.process.stdin.write(`${JSON.stringify(request)}\n`);
    const { value, done } = await this.answers.next();
    if (done) throw new Error(`${this.label} stopped: ${this.errors.trim() || "no message"}`);
    return JSON.parse(value) as Answer;
  }

  /** Ends the process and waits until it is gone. */
  async close(): Promise<void> {
    if (this.process.exitCode !== null || this.process.signalCode !== null) return;
    const gone = new Promise((resolve) => this.process.once("exit", resolve));
    this.process.stdin.end();
    await gone;
  }
}
