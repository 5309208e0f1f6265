import { defineConfig } from "vitest/config";

export default defineConfig({
  // Generous: a slow machine must not fail a test that is right. How fast things are is measured in bench/.
  test: { testTimeout: 120_000, hookTimeout: 180_000 },
});
