import { expect, it } from "vitest";

import { modelSource, recipeFor } from "./zoo";

it("fits a table", () => {
  const text = modelSource("mlp", { shape: [30], classes: 2 });
  expect(text).toContain("nn.BatchNorm1d(30)");
  expect(text).toContain("nn.Linear(30, 64)");
  expect(text).toContain("nn.Linear(64, 2)");
});

it("predicts a number with one output, and is judged by it", () => {
  const task = { shape: [4], classes: null };
  expect(modelSource("linear", task)).toContain("nn.Linear(4, 1)");
  expect(recipeFor(task, { rounds: 3, trainers: 2 })).toMatchObject({ loss: "mse", metric: "mae", rounds: 3, trainers: 2 });
});

it.each([
  [[1, 8, 8], 32 * 4 * 4],
  [[3, 32, 32], 32 * 8 * 8],
  [[1, 28, 28], 32 * 7 * 7],
  [[1, 3, 3], 32 * 3 * 3],
])("fits images of shape %j", (shape, flat) => {
  expect(modelSource("cnn", { shape, classes: 10 })).toContain(`nn.Linear(${flat}, 10)`);
});

it.each([
  ["linear", { shape: [4], classes: null }],
  ["mlp", { shape: [4], classes: 3 }],
  ["cnn", { shape: [3, 16, 16], classes: 2 }],
] as const)("makes the %s model that Python exports (tests/unit/client/test_web_zoo.py)", async (template, { shape, classes }) => {
  const task = { shape: [...shape], classes };
  await expect(modelSource(template, task)).toMatchFileSnapshot(`./zoo-sources/${template}/model.py`);
  await expect(JSON.stringify(recipeFor(task, { rounds: 2, trainers: 2 }), null, 2)).toMatchFileSnapshot(`./zoo-sources/${template}/recipe.json`);
});
