/** Where two sequences of tokens differ. */

/**
 * For each item of `a` and of `b`, true when it is not part of what the two share: their longest common subsequence,
 * after all that they begin and end with alike.
 */
export function differences<T>(a: readonly T[], b: readonly T[]): readonly [a: boolean[], b: boolean[]] {
  const most = Math.min(a.length, b.length);
  let head = 0;
  while (head < most && a[head] === b[head]) head++;
  let tail = 0;
  while (tail < most - head && a[a.length - 1 - tail] === b[b.length - 1 - tail]) tail++;
  const [rows, columns] = [a.length - tail - head, b.length - tail - head];
  // longest[i][j]: length of the longest common subsequence of what follows item i of a's middle and item j of b's.
  const longest = Array.from({ length: rows + 1 }, () => new Array<number>(columns + 1).fill(0));
  for (let i = rows - 1; i >= 0; i--) {
    for (let j = columns - 1; j >= 0; j--) {
      const same = a[head + i] === b[head + j];
      longest[i]![j] = same ? 1 + longest[i + 1]![j + 1]! : Math.max(longest[i + 1]![j]!, longest[i]![j + 1]!);
    }
  }
  const differs = [a, b].map((items) => new Array<boolean>(items.length).fill(false)) as [boolean[], boolean[]];
  let [i, j] = [0, 0];
  while (i < rows || j < columns) {
    if (i < rows && j < columns && a[head + i] === b[head + j]) {
      i++;
      j++;
    } else if (j === columns || (i < rows && longest[i + 1]![j]! >= longest[i]![j + 1]!)) differs[0][head + i++] = true;
    else differs[1][head + j++] = true;
  }
  return differs;
}
