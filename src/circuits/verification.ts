/**
 * What checks of a circuit found: stored in circuit.json in short, and in report.json with everything that the report page
 * shows. Schema and types only; docs/VERIFICATION.md defines each check.
 */
import { z } from "zod";

/** In the order of the report. */
export const CHECKS = [
  "sufficiency",
  "necessity",
  "weight necessity",
  "completeness",
  "minimality",
  "curve",
  "agreement",
  "generalisation",
  "interchange",
  "value fidelity",
  "relaxation",
  "other ablations",
  "nonsense control",
  "random weights control",
  "stability",
  "binarisation",
  "monosemanticity",
] as const;
export type CheckName = (typeof CHECKS)[number];

export const VERDICTS = ["pass", "weak", "fail", "not applicable"] as const;
export type Verdict = (typeof VERDICTS)[number];

const FORMS = ["short", "thorough"] as const;

const figureSchema = z.strictObject({
  name: z.string(),
  /** Null where there is none, such as the size of a circuit that was never found. */
  value: z.number().nullable(),
  /** Bootstrap interval, 95%. */
  low: z.number().optional(),
  high: z.number().optional(),
  /** Such as "nats"; none for plain numbers and shares. */
  unit: z.string().optional(),
});

const checkSchema = z.strictObject({
  name: z.enum(CHECKS),
  verdict: z.enum(VERDICTS),
  /** A few words for the summary, where it did not pass. */
  brief: z.string(),
  /** One line with the numbers that decided. */
  reason: z.string(),
  figures: z.array(figureSchema),
});

export const verificationSchema = z.strictObject({
  /** Which checks were run, and how closely. */
  form: z.enum(FORMS),
  seed: z.int(),
  /** Held-out contrast pairs that figures are over, unless a check says otherwise. */
  pairs: z.int().min(0),
  /** Every check that failed or is weak is named in it. */
  summary: z.string(),
  checks: z.array(checkSchema),
});
export type Verification = z.infer<typeof verificationSchema>;
export type Figure = z.infer<typeof figureSchema>;
export type CheckResult = z.infer<typeof checkSchema>;

export const REPORT_FORMAT = "sparse-circuits/verification";
export const REPORT_VERSION = 1;

const plotSchema = z.strictObject({
  title: z.string(),
  x: z.strictObject({ label: z.string(), log: z.boolean().optional() }),
  y: z.strictObject({
    label: z.string(),
    log: z.boolean().optional(),
    domain: z.tuple([z.number(), z.number()]).optional(),
  }),
  /** Height of a dashed line, such as the target. */
  level: z.number().optional(),
  series: z.array(
    z.strictObject({
      name: z.string(),
      points: z.array(
        z.strictObject({ x: z.number(), y: z.number(), low: z.number().optional(), high: z.number().optional() }),
      ),
    }),
  ),
});
export type Plot = z.infer<typeof plotSchema>;

const tableSchema = z.strictObject({
  title: z.string(),
  columns: z.array(z.string()),
  rows: z.array(z.array(z.union([z.string(), z.number(), z.null()]))),
});
export type Table = z.infer<typeof tableSchema>;

const reportCheckSchema = checkSchema.extend({
  /** The question that the check answers. */
  question: z.string(),
  /** What was computed. */
  definition: z.string(),
  /** When it passes and when it is weak, with the reason. */
  threshold: z.string(),
  /** Where the check is from. */
  source: z.string(),
  plots: z.array(plotSchema),
  tables: z.array(tableSchema),
});
export type ReportCheck = z.infer<typeof reportCheckSchema>;

export const reportSchema = verificationSchema.extend({
  format: z.literal(REPORT_FORMAT),
  version: z.literal(REPORT_VERSION),
  circuit: z.strictObject({
    run: z.string(),
    weightsHash: z.string(),
    task: z.string(),
    variant: z.string(),
    nodes: z.int(),
    edges: z.int(),
    target: z.number(),
    ablation: z.string(),
  }),
  checks: z.array(reportCheckSchema),
});
export type Report = z.infer<typeof reportSchema>;
