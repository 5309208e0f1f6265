/** `sparse train --match-loss`: another run's held-out loss as the one to train to, if it is of the same text. */
import * as path from "node:path";
import { openRun, type Run, readReport } from "../runs/open.ts";
import type { TrainingData } from "../train/trainer.ts";
import { inputError } from "../util/errors.ts";
import { pathExists, readText } from "../util/files.ts";
import { type HeldOutText, textDifference, textOfData, textOfRun, textSettings } from "./held-out-text.ts";
import type { TrainSettings } from "./train-config.ts";

/** A finished run whose held-out loss another is to match. */
export class LossToMatch {
  private readonly run: Run;
  private readonly text: HeldOutText;
  private readonly loss: number;

  /** @throws inputError for what is not a finished run. */
  constructor(dir: string) {
    this.run = openRun(dir);
    this.text = textOfRun(this.run);
    const { valLoss } = readReport(this.run);
    if (typeof valLoss !== "number") {
      throw inputError(
        "bad-report",
        `${this.run.paths.report} has no held-out loss`,
        "Restore the file, or train again.",
      );
    }
    this.loss = valLoss;
  }

  /** The settings with the loss in them, so that the run needs no other one from then on. */
  applyTo({ config, ...source }: TrainSettings): TrainSettings {
    const names = source.tasks.map((task) => task.name);
    this.checkSame(textSettings(config, names));
    const { file } = source;
    const stored = file && path.join(this.run.paths.task, file.name);
    if (stored && !(pathExists(stored) && readText(stored) === file.text)) {
      throw this.other(`${file.name} is not the file of the task in ${this.run.dir}`);
    }
    return { ...source, config: { ...config, training: { ...config.training, matchLoss: this.loss } } };
  }

  /** Once tokenizer and corpus are there. */
  check(data: TrainingData): void {
    this.checkSame(textOfData(data));
  }

  private checkSame(own: HeldOutText): void {
    const what = textDifference(own, this.text, ["here", `in ${this.run.dir}`]);
    if (what !== undefined) throw this.other(what);
  }

  private other(what: string): Error {
    return inputError(
      "match-loss",
      `--match-loss ${this.run.dir}: its held-out loss is of other text: ${what}`,
      "Give both runs the same task, seed, data settings, context length and tokenizer.",
    );
  }
}
