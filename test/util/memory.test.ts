/** Memory of the machine and of its control groups. */
import { expect, it } from "vitest";
import { type Memory, readMemory } from "../../src/util/memory.ts";

const MEMINFO = {
  "/proc/meminfo":
    "MemTotal:  16000 kB\nMemFree: 1000 kB\nMemAvailable:   9000 kB\nSwapTotal: 4000 kB\nSwapFree:  3000 kB\n",
};
const V2 = "/sys/fs/cgroup";
const V1 = "/sys/fs/cgroup/memory";

function read(files: Readonly<Record<string, string | number>>): Memory {
  const kilobytes = (n: number): number => n / 1024;
  const { total, free } = readMemory({ file: (path) => files[path]?.toString(), total: () => 5000 * 1024 });
  return { total: kilobytes(total), free: kilobytes(free) };
}

const kb = (n: number): string => `${1024 * n}\n`;

it("reads this machine", () => {
  const { total, free } = readMemory();
  expect(free).toBeGreaterThan(10e6);
  expect(total).toBeGreaterThanOrEqual(free);
  expect(total).toBeLessThan(1e15);
});

it("counts all as free where the system does not tell", () => {
  expect(read({})).toEqual({ total: 5000, free: 5000 });
});

it("counts what the system would give up, and swap", () => {
  expect(read(MEMINFO)).toEqual({ total: 20000, free: 12000 });
});

it("stays within a group of version 2 and those above it", () => {
  const group = { ...MEMINFO, "/proc/self/cgroup": "0::/a/b\n", [`${V2}/a/b/memory.max`]: "max\n" };
  expect(read(group)).toEqual({ total: 20000, free: 12000 });
  const limited = { ...group, [`${V2}/a/memory.max`]: kb(6000), [`${V2}/a/memory.current`]: kb(5000) };
  expect(read(limited)).toEqual({ total: 10000, free: 4000 });
  const cached = { ...limited, [`${V2}/a/memory.stat`]: `anon 3\ninactive_file ${kb(500)}` };
  expect(read(cached)).toEqual({ total: 10000, free: 4500 });
  const unswapped = { ...cached, [`${V2}/a/memory.swap.max`]: "0\n" };
  expect(read(unswapped)).toEqual({ total: 6000, free: 1500 });
});

it("finds a container's group at the root, where it is all there is to see", () => {
  const files = { ...MEMINFO, "/proc/self/cgroup": "0::/docker/x\n", [`${V2}/memory.max`]: kb(6000) };
  expect(read(files)).toEqual({ total: 10000, free: 9000 });
});

it("stays within a group of version 1", () => {
  const group = {
    ...MEMINFO,
    "/proc/self/cgroup": "9:cpu:/x\n4:hugetlb,memory:/y\n0::/\n",
    [`${V1}/memory.limit_in_bytes`]: "9223372036854771712\n",
    [`${V1}/y/memory.limit_in_bytes`]: kb(6000),
    [`${V1}/y/memory.usage_in_bytes`]: kb(5500),
    [`${V1}/y/memory.stat`]: `inactive_file 0\ntotal_inactive_file ${kb(500)}`,
  };
  expect(read(group)).toEqual({ total: 10000, free: 4000 });
  const both = { [`${V1}/y/memory.memsw.limit_in_bytes`]: kb(6000), [`${V1}/y/memory.memsw.usage_in_bytes`]: kb(5600) };
  expect(read({ ...group, ...both })).toEqual({ total: 6000, free: 900 });
});
