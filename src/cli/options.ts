/** Options that several commands share, and the parsing of their values. */
import { type Command, Option } from "commander";
import { TASK_LOSSES } from "../data/task.ts";
import { inputError } from "../util/errors.ts";
import { nearest } from "../util/nearest.ts";

/** The parser of an option that takes a whole number of at least `min`. */
export function wholeNumber(flag: string, min = 0): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (text.trim() !== "" && Number.isSafeInteger(value) && value >= min) return value;
    throw badValue(
      flag,
      `a whole number of ${min} or more`,
      text,
      Number.isNaN(value) ? min : Math.max(min, Math.round(value)),
    );
  };
}

/** The parser of an option that takes a number; `1/64` is one. */
export function realNumber(flag: string): (text: string) => number {
  return (text) => {
    const value = parseNumber(text);
    if (value === undefined) throw badValue(flag, "a number, such as 0.25 or 1/4", text);
    return value;
  };
}

/** The parser of an option that takes a time; in seconds. */
export function duration(flag: string): (text: string) => number {
  const units = new Map([
    ["", 1],
    ["s", 1],
    ["m", 60],
    ["h", 3600],
  ]);
  return (text) => {
    const match = /^\s*([0-9.]+)\s*([smh]?)\s*$/.exec(text);
    const seconds = match ? Number(match[1]) * units.get(match[2]!)! : Number.NaN;
    if (seconds > 0) return seconds;
    throw badValue(flag, "a time above 0, such as 60s or 5m", text);
  };
}

/** A finite number, also written as a fraction; undefined for anything else. */
export function parseNumber(text: string): number | undefined {
  const ratio = /^\s*([0-9.]+)\s*\/\s*([0-9.]+)\s*$/.exec(text);
  const value = ratio ? Number(ratio[1]) / Number(ratio[2]) : Number(text);
  return text.trim() !== "" && Number.isFinite(value) ? value : undefined;
}

/** The parser of an option that takes one of some names. */
export function oneOf<T extends string>(flag: string, names: readonly T[]): (text: string) => T {
  return (text) => {
    if ((names as readonly string[]).includes(text)) return text as T;
    throw inputError(
      "option-value",
      `${flag}: expected one of ${names.join(", ")}, but received "${text}"`,
      `Did you mean ${nearest(text, names)}?`,
    );
  };
}

/** The parser of a list with commas of some names; each once, in the names' order. */
export function listOf<T extends string>(flag: string, names: readonly T[]): (text: string) => readonly T[] {
  const parse = oneOf(flag, names);
  return (text) => {
    const given = new Set(text.split(",").map((part) => parse(part.trim())));
    return names.filter((name) => given.has(name));
  };
}

/** `--task-loss`, for every task of a run. */
export function taskLossOption(): Option {
  return new Option(
    "--task-loss <kind>",
    "what task losses are over: pair, the two candidates, or target-or-not, the whole vocabulary (default: the task's)",
  ).argParser(oneOf("--task-loss", TASK_LOSSES));
}

/** The parser of an option whose values, when it is given several times, are one list with commas. */
export function joined(text: string, before?: string): string {
  return before === undefined ? text : `${before},${text}`;
}

/** The parser of an option that may be given several times. */
export function collect(text: string, before: readonly string[] = []): readonly string[] {
  return [...before, text];
}

function badValue(flag: string, expected: string, text: string, near?: number): Error {
  return inputError(
    "option-value",
    `${flag}: expected ${expected}, but received "${text}"`,
    near === undefined ? "Correct the value." : `The nearest valid value is ${near}.`,
  );
}

/** Adds `--json`. The frame reads it before the command is parsed, so that errors of usage are JSON too. */
export function jsonOption(command: Command): Command {
  return command.addOption(new Option("--json", "print one JSON object a line and nothing else"));
}
