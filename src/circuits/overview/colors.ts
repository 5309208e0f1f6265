/**
 * Colours of circuits in the overview. Lists of 20 in which the first n are as far apart as can be for each n: farthest first
 * (each next colour the one whose nearest neighbour among those before, white and the grey of the network is farthest) in the
 * OKLab space, then improved one by one. Beyond 20 they come again: labels stand at the circuits, so that colour is not all.
 */
import type { PaletteName } from "../export/palette.ts";

export interface CircuitColors {
  /** Of what is in these circuits: a colour for each, or one for all of them. */
  of(circuits: readonly number[]): string[];
  /** Of a circuit's name and number. */
  label(circuit: number): string;
  /** What the colours mean, for the legend. */
  readonly meaning: string;
  /** All that may come up. */
  readonly all: readonly string[];
}

/** Nearest two of 20: 14 hundredths of OKLab's range, of the first four: 24. */
export const DEFAULT_COLORS = (
  "#d6272b #1f6fb4 #2b9a3e #cc84fc #543c00 #900084 #fcb430 #84cc00 #00a8fc #0c30b4 " +
  "#a8849c #0cd8cc #8448d8 #845460 #006c54 #fc9cb4 #d848a8 #b48400 #840024 #483060"
).split(" ");

/**
 * The same, with the distance of two colours the least of those that three readers see: one with all cones, one without
 * long-wave and one without middle-wave cones, as simulated by Machado, Oliveira and Fernandes (2009). Nearest two of 20: 10;
 * of the first four: 23. It starts with two of Okabe and Ito's, of whose eight the nearest two are 8 apart.
 */
export const COLORBLIND_COLORS = (
  "#0072b2 #e69f00 #480000 #b43c0c #000084 #a89cfc #489c6c #184848 #000cc0 #84c09c " +
  "#8478fc #78f078 #00786c #00243c #009cb4 #840c00 #184884 #c0c0fc #e4600c #603cf0"
).split(" ");

/** Light to dark, for print. */
const SHADES = ["#8c8c8c", "#4d4d4d", "#000000"];

export function circuitColors(palette: PaletteName, circuits: number): CircuitColors {
  if (palette === "print") {
    const shade = (count: number): string => (circuits === 1 ? SHADES[2]! : SHADES[Math.min(count, 3) - 1]!);
    return {
      of: (members) => [shade(members.length)],
      label: () => SHADES[2]!,
      meaning: circuits === 1 ? "in the circuit" : "in one circuit, in two, in more: darker",
      all: SHADES,
    };
  }
  const colors = palette === "colorblind" ? COLORBLIND_COLORS : DEFAULT_COLORS;
  const label = (circuit: number): string => colors[circuit % colors.length]!;
  return {
    of: (members) => members.map(label),
    label,
    meaning: circuits === 1 ? "in the circuit" : "in one circuit; in several, all their colours",
    all: colors.slice(0, circuits),
  };
}
